import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { PeerSocket } from './peer-socket.ts'

// Only the beats; sockets keep their own time.
beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }))
afterEach(() => void vi.useRealTimers())

async function openPair() {
  const server = createServer({ pauseOnConnect: true })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo // a TCP server has one
  const near = connect(port, '127.0.0.1')
  const [far]: Socket[] = await once(server, 'connection')
  if (far === undefined) throw new Error('No connection')
  far.on('error', () => {})
  return {
    peer: new PeerSocket(near, 100),
    far,
    [Symbol.dispose]() {
      near.destroy()
      far.destroy()
      server.close()
    },
  }
}

/** As if a second passed; what the peer sent is read. */
async function beat(far: Socket, sign: string) {
  vi.advanceTimersByTime(1_000)
  await new Promise<unknown>((resolve) => far.write(sign, resolve))
  await new Promise((resolve) => setTimeout(resolve, 5))
}

async function readAll(peer: PeerSocket): Promise<string[]> {
  const lines: string[] = []
  for await (const line of peer.lines()) lines.push(line)
  return lines
}

it('a peer that gives a sign of life stays, and one that is silent for six beats is dropped', async () => {
  using pair = await openPair()
  const reading = readAll(pair.peer).catch(() => 'broken')
  for (let beats = 0; beats < 20; beats++) await beat(pair.far, '\n')
  expect(pair.peer.isClosed).toBe(false)
  vi.advanceTimersByTime(7_000)
  expect(pair.peer.isClosed).toBe(true)
  await reading
})

it('a peer that does not read is sent no more than a bounded part, and is dropped after six beats', async () => {
  using pair = await openPair()
  const reading = readAll(pair.peer).catch(() => 'broken')
  let sent = 0
  let isFull = false
  while (!isFull && sent < 4_000) {
    pair.peer.send('x'.repeat(64 * 1024))
    sent++
    const room = pair.peer.room().then(() => 'room')
    isFull = (await Promise.race([room, new Promise((resolve) => setTimeout(resolve, 200))])) !== 'room'
  }
  expect(isFull).toBe(true)
  for (let beats = 0; beats < 8; beats++) await beat(pair.far, '\n')
  expect(pair.peer.isClosed).toBe(true)
  await Promise.all([reading, pair.peer.room()])
})

it('lines come whole and without signs of life, however they are cut, and one that is too long is refused', async () => {
  using pair = await openPair()
  const reading = readAll(pair.peer)
  for (const part of ['{"a"', ':1}\n\n{"b":', '2}\n', 'é'.repeat(100), '\n']) await beat(pair.far, part)
  pair.far.end()
  expect(await reading).toEqual(['{"a":1}', '{"b":2}', 'é'.repeat(100)])

  using other = await openPair()
  const refused = readAll(other.peer)
  other.far.write('x'.repeat(101))
  await expect(refused).rejects.toThrow('a line that is too long')
})
