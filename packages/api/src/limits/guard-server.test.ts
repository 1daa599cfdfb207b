import { once } from 'node:events'
import { createServer } from 'node:http'
import type { RequestListener, Server } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { guardServer } from './guard-server.ts'

let server: Server
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

async function listen(handler: RequestListener): Promise<number> {
  server = guardServer(createServer(handler))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

const getOf = (path: string) => `GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`

/** What a connection receives for `sent` until the server closes it, and how long that takes. */
async function send(port: number, sent: string): Promise<{ text: string; tookMs: number }> {
  const beganMs = performance.now()
  const socket = connect(port, '127.0.0.1')
  socket.write(sent)
  let text = ''
  try {
    for await (const piece of socket) text += String(piece)
  } catch {
    // A reset is an end too.
  }
  return { text, tookMs: performance.now() - beganMs }
}

/** A connection that the server has taken. */
async function openTo(port: number): Promise<Socket> {
  const accepted = once(server, 'connection')
  const socket = connect(port, '127.0.0.1')
  await accepted
  return socket
}

it('of a thousand requests in one packet less than a hundred are made, and the connection closes', async () => {
  let handled = 0
  const port = await listen((_req, res) => {
    handled++
    res.end()
  })
  await send(port, getOf('/').repeat(1_000))
  expect(handled).toBeGreaterThan(0)
  expect(handled).toBeLessThan(100)
})

it('of three hundred requests that come at once on as many connections a few are made in each turn of the event loop', async () => {
  let turn = 0
  const handledIn = new Map<number, number>()
  const nextTurn = () => {
    turn++
    ticking = setImmediate(nextTurn)
  }
  let ticking = setImmediate(nextTurn)
  const handled: string[] = []
  const port = await listen((req, res) => {
    handledIn.set(turn, (handledIn.get(turn) ?? 0) + 1)
    handled.push(req.url ?? '')
    const untilMs = performance.now() + 1
    while (performance.now() < untilMs); // what a request costs
    res.end()
  })
  const open = async () => await openTo(port)
  const acquainted = await open()
  acquainted.write(getOf('/before'))
  await once(acquainted, 'data')
  const strangers: Socket[] = []
  while (strangers.length < 300) strangers.push(await open())
  const probe = await open()
  const answers = [...strangers, acquainted, probe].map(async (socket) => await once(socket, 'data'))
  for (const [nth, socket] of strangers.entries()) socket.write(getOf(`/${nth}`))
  acquainted.write(getOf('/acquainted'))
  probe.write(getOf('/api/health/live'))
  await Promise.all(answers)
  clearImmediate(ticking)
  for (const socket of [...strangers, acquainted, probe]) socket.destroy()
  expect(new Set(handled).size).toBe(303)
  expect(handled).toHaveLength(303)
  expect(Math.max(...handledIn.values())).toBeLessThan(50)
  // A connection that was answered before passes those that were not.
  expect(handled.indexOf('/acquainted')).toBeLessThan(200)
  // And a balancer's probe passes all of them.
  expect(handled.indexOf('/api/health/live')).toBeLessThan(200)
})

it('at a busy event loop what arrives takes a part of each turn that grows with the turn', async () => {
  let turns = 0
  const work = () => {
    turns++
    const untilMs = performance.now() + 90
    while (performance.now() < untilMs);
    working = setImmediate(work)
  }
  const port = await listen((_req, res) => {
    const untilMs = performance.now() + 1
    while (performance.now() < untilMs);
    res.end()
  })
  const open = async () => await openTo(port)
  const crowd: Socket[] = []
  while (crowd.length < 200) crowd.push(await open())
  let working = setImmediate(work)
  const answers = crowd.map(async (socket) => await once(socket, 'data'))
  for (const socket of crowd) socket.write(getOf('/'))
  await Promise.all(answers)
  clearImmediate(working)
  for (const socket of crowd) socket.destroy()
  // Five a turn, as in a turn without other work, would be 40 turns.
  expect(turns).toBeLessThan(30)
})

it('a large body arrives byte for byte, and many requests pass one after another', async () => {
  const port = await listen((req, res) => void req.pipe(res))
  const body = Buffer.from(Array.from({ length: 1_000_003 }, (_, at) => (at * 31) % 251))
  const answer = await fetch(`http://127.0.0.1:${port}`, { method: 'POST', body })
  expect(body.equals(Buffer.from(await answer.arrayBuffer()))).toBe(true)
  for (let nth = 0; nth < 50; nth++) {
    const small = await fetch(`http://127.0.0.1:${port}`, { method: 'POST', body: `${nth}` })
    expect(await small.text()).toBe(`${nth}`)
  }
})

it('what is no HTTP receives its status at once, and its connection closes a second later', async () => {
  const port = await listen((_req, res) => void res.end())
  const garbage = await send(port, '\0\r\n\x7f'.repeat(10_000))
  expect(garbage.text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
  expect(garbage.tookMs).toBeGreaterThan(900)
  const headers = await send(port, `GET / HTTP/1.1\r\nhost: a\r\n${'x: y\r\n'.repeat(20_000)}`)
  expect(headers.text).toMatch(/^HTTP\/1\.1 431 /)
})

it('garbage after a request does not end up in the body of its answer', async () => {
  const port = await listen((_req, res) => {
    res.write('the beginning')
    setTimeout(() => res.end(), 100)
  })
  const { text } = await send(port, `${getOf('/')}\0\0\0`)
  expect(text).toContain('the beginning')
  expect(text).not.toContain('400 Bad Request')
})

it('a connection that becomes another protocol keeps its bytes', async () => {
  const port = await listen((_req, res) => void res.end())
  server.on('upgrade', (_req, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n')
    socket.pipe(socket)
  })
  const socket = connect(port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n')
  await new Promise((resolve) => socket.once('data', resolve))
  const sent = 'word '.repeat(20_000)
  socket.end(sent)
  let text = ''
  for await (const piece of socket) text += String(piece)
  expect(text === sent).toBe(true)
})
