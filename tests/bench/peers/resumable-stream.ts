/** resumable-stream with Redis: the process that began a stream holds it, Redis only passes it on, and nothing is kept. */
import { ReadableStream } from 'node:stream/web'
import { loadPackage } from './load-package.ts'
import type { OpenPeer } from './peer.ts'

/** The part of resumable-stream that is used here, as its documentation has it. */
interface ResumableStreams {
  createResumableStreamContext(options: { waitUntil: null; publisher: unknown; subscriber: unknown }): {
    createNewResumableStream(id: string, make: () => ReadableStream<string>): Promise<ReadableStream<string> | null>
    resumeExistingStream(id: string): Promise<ReadableStream<string> | null | undefined>
  }
}

interface Redis {
  createClient(options: { url: string }): { connect(): Promise<unknown> }
}

export const openResumableStream: OpenPeer = async ({ folder, redisUrl }) => {
  const library = await loadPackage<ResumableStreams>(folder, 'resumable-stream')
  const redis = await loadPackage<Redis>(folder, 'redis')
  if (library === undefined || redis === undefined || redisUrl === undefined) return undefined
  const [publisher, subscriber] = [redis.createClient({ url: redisUrl }), redis.createClient({ url: redisUrl })]
  await Promise.all([publisher.connect(), subscriber.connect()])
  const context = library.createResumableStreamContext({ waitUntil: null, publisher, subscriber })
  const first = new Map<string, ReadableStream<string>>()
  return {
    async begin(id, texts) {
      const stream = await context.createNewResumableStream(id, () => ReadableStream.from<string>(texts))
      if (stream !== null) first.set(id, stream)
    },
    async read(id) {
      const own = first.get(id)
      first.delete(id)
      return own ?? (await context.resumeExistingStream(id)) ?? nothing()
    },
  }
}

async function* nothing(): AsyncGenerator<string> {}
