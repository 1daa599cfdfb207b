import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { expect, it } from 'vitest'
import { guardServer } from './guard-server.ts'
import { listen } from './listen.ts'

const host = '127.0.0.1'

/** How many turns the event loop of this process has made. */
function countTurns() {
  let turns = 0
  const next = () => {
    turns++
    timer = setImmediate(next)
  }
  let timer = setImmediate(next)
  return { turns: () => turns, [Symbol.dispose]: () => clearImmediate(timer) }
}

it.runIf(process.platform === 'linux')(
  'a crowd of connections is taken by many in a turn of the event loop',
  async () => {
    const server = guardServer(createServer((_req, res) => res.end('here')))
    await listen(server, { port: 0, host })
    const { port } = server.address() as AddressInfo
    const count = 320
    let taken = 0
    const all = new Promise<void>((resolve) => server.on('connection', () => ++taken === count && resolve()))
    using loop = countTurns()
    const crowd: Socket[] = Array.from({ length: count }, () => connect(port, host))
    await all
    // One a turn would be 320 turns; the connections spread over the sockets by chance.
    expect(loop.turns()).toBeLessThan(count / 4)
    const answered = await Promise.all(
      crowd.map(async (socket) => {
        socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')
        const [head] = (await once(socket, 'data')) as [Buffer]
        return String(head).slice(0, 15)
      }),
    )
    expect(new Set(answered)).toEqual(new Set(['HTTP/1.1 200 OK']))
    await new Promise((resolve) => server.close(resolve))
  },
)

it('a port that another server has is refused, also when that one listens with many sockets', async () => {
  const first = createServer()
  await listen(first, { port: 0, host })
  const { port } = first.address() as AddressInfo
  await expect(listen(createServer(), { port, host })).rejects.toMatchObject({ code: 'EADDRINUSE' })
  await new Promise((resolve) => first.close(resolve))
})

it('a closed server listens with none of its sockets, and is closed when the last connection is', async () => {
  const server = createServer((_req, res) => void setTimeout(() => res.end('late'), 100))
  await listen(server, { port: 0, host })
  const { port } = server.address() as AddressInfo
  const open = Array.from({ length: 32 }, () => connect(port, host))
  const answers = open.map(async (socket) => {
    socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')
    let text = ''
    for await (const piece of socket) text += String(piece)
    return text
  })
  for (let taken = 0; taken < open.length; taken++) await once(server, 'request')
  let closed = false
  const closing = new Promise<void>((resolve) => server.close(() => resolve())).then(() => (closed = true))
  const refused = Array.from({ length: 32 }, async () => await once(connect(port, host), 'error'))
  for (const [error] of await Promise.all(refused)) expect(error).toMatchObject({ code: 'ECONNREFUSED' })
  for (const text of await Promise.all(answers)) expect(text).toContain('late')
  await closing
  expect(closed).toBe(true)
})
