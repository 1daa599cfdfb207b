/** Keeps nothing, and gives a stream to its first reader: what the clients and node:http themselves take. */
import type { OpenPeer } from './peer.ts'

export const openPlain: OpenPeer = async () => {
  const begun = new Map<string, AsyncIterable<string>>()
  return {
    begin(id, texts) {
      begun.set(id, texts)
      return Promise.resolve()
    },
    read(id) {
      const texts = begun.get(id)
      begun.delete(id)
      if (texts === undefined) throw new Error(`${id} has had its reader`)
      return Promise.resolve(texts)
    },
  }
}
