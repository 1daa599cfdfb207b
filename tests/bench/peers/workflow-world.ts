/**
 * The streams of @workflow-worlds/mongodb: each chunk is a document. A chunk is stored before the next one is sent, as the Workflow DevKit
 * sends them to a world that takes one at a time.
 */
import { loadPackage } from './load-package.ts'
import type { OpenPeer } from './peer.ts'

/** The part of a world that is used here. */
interface World {
  createWorld(options: { mongoUrl: string; databaseName: string }): {
    writeToStream(name: string, runId: string, chunk: string): Promise<void>
    closeStream(name: string, runId: string): Promise<void>
    readFromStream(name: string): Promise<ReadableStream<Uint8Array>>
  }
}

export const openWorkflowWorld: OpenPeer = async ({ folder, mongoUri, databaseName }) => {
  const library = await loadPackage<World>(folder, '@workflow-worlds/mongodb')
  if (library === undefined) return undefined
  const world = library.createWorld({ mongoUrl: mongoUri, databaseName })
  const write = async (id: string, texts: AsyncIterable<string>) => {
    for await (const text of texts) await world.writeToStream(id, id, text)
    await world.closeStream(id, id)
  }
  return {
    begin(id, texts) {
      void write(id, texts)
      return Promise.resolve()
    },
    read: async (id) => decoded(await world.readFromStream(id)),
  }
}

async function* decoded(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  for await (const chunk of stream) yield decoder.decode(chunk, { stream: true })
}
