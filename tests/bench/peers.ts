/**
 * What others need for the same work, where they are installed beside the bench. They are no dependencies: `pnpm add -w --save-dev` one of
 * them, measure, and take it out again.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { BenchContext, Table } from './group.ts'
import { ascending, quantile, round } from './statistics.ts'

const streams = 20
const tokensPerSecond = 50

/** The part of resumable-stream that is used here, as its documentation has it. */
interface ResumableStreams {
  createResumableStreamContext(options: { waitUntil: null; publisher: unknown; subscriber: unknown }): {
    createNewResumableStream(id: string, make: () => ReadableStream<string>): Promise<ReadableStream<string> | null>
    resumeExistingStream(id: string): Promise<ReadableStream<string> | null | undefined>
  }
}

interface RedisModule {
  createClient(options: { url: string }): { connect(): Promise<unknown>; destroy?(): void }
}

export async function measurePeers(context: BenchContext): Promise<Table[]> {
  const rows = [await resumableStream(context), await workflowWorld()]
  const title = `Delay of a token for a second reader, ${streams} streams of ${tokensPerSecond} tokens/s (compare second-process)`
  return [{ title, rows }]
}

async function resumableStream({ isQuick }: BenchContext): Promise<Table['rows'][number]> {
  const peer = 'resumable-stream with Redis (keeps nothing)'
  const [library, redis] = await Promise.all([load<ResumableStreams>('resumable-stream'), load<RedisModule>('redis')])
  if (library === undefined || redis === undefined) return { peer, result: 'not installed' }
  if (spawnSync('redis-server', ['--version']).status !== 0) return { peer, result: 'no redis-server on the PATH' }
  const port = await freePort()
  const server = spawn('redis-server', ['--port', String(port), '--save', '', '--appendonly', 'no'], {
    stdio: 'ignore',
  })
  try {
    const clients = await Promise.all([1, 2].map(async () => await connect(redis, port)))
    const [publisher, subscriber] = clients
    const context = library.createResumableStreamContext({ waitUntil: null, publisher, subscriber })
    const seconds = isQuick ? 1 : 5
    const delaysMs: number[] = []
    await Promise.all(
      Array.from({ length: streams }, async (_, nth) => {
        const first = await context.createNewResumableStream(`run-${nth}`, () => pacedStream(seconds))
        const second = await context.resumeExistingStream(`run-${nth}`)
        await Promise.all([read(first), read(second, delaysMs)])
      }),
    )
    for (const client of clients) client.destroy?.()
    const sorted = ascending(delaysMs)
    return { peer, result: 'measured', 'p50 ms': round(quantile(sorted, 0.5)), 'p99 ms': round(quantile(sorted, 0.99)) }
  } finally {
    server.kill()
    await once(server, 'exit')
  }
}

/** A world is driven by the Workflow DevKit's compiler, so it is named here and measured by its own program. */
async function workflowWorld(): Promise<Table['rows'][number]> {
  const peer = '@workflow-worlds/mongodb'
  const world = await load<object>('@workflow-worlds/mongodb')
  return {
    peer,
    result: world === undefined ? 'not installed' : 'installed; it needs a project of the Workflow DevKit',
  }
}

/** Undefined for a package that is not installed. */
async function load<TModule>(name: string): Promise<TModule | undefined> {
  try {
    return (await import(name)) as TModule // what is used of it is named above
  } catch {
    return undefined
  }
}

async function connect({ createClient }: RedisModule, port: number) {
  const client = createClient({ url: `redis://127.0.0.1:${port}` })
  await client.connect()
  return client
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // a TCP server has one
  server.close()
  return port
}

function pacedStream(seconds: number): ReadableStream<string> {
  let left = seconds * tokensPerSecond
  return new ReadableStream({
    async pull(controller) {
      if (left-- === 0) return controller.close()
      await new Promise((resolve) => setTimeout(resolve, 1_000 / tokensPerSecond))
      controller.enqueue(`${performance.now()} `)
    },
  })
}

/** Delays of the tokens that come after the reader; what was said before is late by nature. */
async function read(stream: ReadableStream<string> | null | undefined, delaysMs: number[] = []): Promise<void> {
  const beganMs = performance.now()
  for await (const text of stream ?? []) {
    for (const stamp of text.trim().split(' ').map(Number)) {
      if (stamp > beganMs) delaysMs.push(performance.now() - stamp)
    }
  }
}
