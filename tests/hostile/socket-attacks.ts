/** Connections that take, send or read as little as they can. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { callOnce } from './attack.ts'
import type { Attack, AttackTarget } from './attack.ts'
import { mutation, query } from './calls.ts'
import type { Call } from './calls.ts'
import { fullSessionId } from './server-config.ts'

/** A connection, or nothing when the server refuses it; the attack's end closes it. */
async function openSocket({ port, signal, tally }: AttackTarget): Promise<Socket | undefined> {
  const socket = connect(port, '127.0.0.1')
  const cut = () => socket.destroy()
  signal.addEventListener('abort', cut, { once: true })
  socket.once('close', () => signal.removeEventListener('abort', cut))
  const isOpen = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true))
    socket.on('error', () => resolve(false)) // it stays: a socket may fail again after it has opened
    socket.once('close', () => resolve(false))
  })
  tally.add(isOpen ? 'opened' : 'not opened')
  if (isOpen) socket.once('close', () => signal.aborted || tally.add('closed by the server'))
  return isOpen ? socket : undefined
}

/** Keeps `count` connections, each given to `use`; one that the server closes is opened again. */
async function hold(target: AttackTarget, count: number, use: (socket: Socket, nth: number) => void): Promise<void> {
  const { signal } = target
  const keep = async (nth: number): Promise<void> => {
    while (!signal.aborted) {
      const socket = await openSocket(target)
      if (socket === undefined) await sleep(100)
      else {
        use(socket, nth)
        if (!socket.destroyed) await new Promise((resolve) => socket.once('close', resolve))
      }
    }
  }
  await Promise.all(Array.from({ length: count }, async (_, nth) => await keep(nth)))
}

/** A request that is sent whole, and whose answer the caller never reads. */
function sendUnread({ user }: AttackTarget, socket: Socket, { path }: Call): void {
  socket.pause()
  socket.write(`GET ${path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${user}\r\n\r\n`)
}

function bodyHead({ user }: AttackTarget): string {
  return (
    'POST /trpc/messages.append HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n' +
    `authorization: Bearer ${user}\r\ncontent-length: 1000000\r\n\r\n`
  )
}

/** Writes `piece` again and again for as long as the socket takes it. */
function drip(socket: Socket, piece: string, everyMs: number): void {
  const timer = setInterval(() => socket.write(piece), everyMs)
  socket.once('close', () => clearInterval(timer))
}

export const socketAttacks: readonly Attack[] = [
  {
    name: 'lists that are not read',
    readsFullSession: true,
    run: async (target) =>
      await hold(target, 100, (socket) =>
        sendUnread(target, socket, query('messages.list', { sessionId: fullSessionId, order: 'newest', limit: 100 })),
      ),
  },
  {
    name: 'streams that are not read',
    async run(target) {
      const runId = crypto.randomUUID()
      const sessionId = `lecture-${target.phase}`
      await callOnce(target, mutation('runs.start', { runId, sessionId, message: 'Lecture', agentId: 'lecture' }))
      await hold(target, 300, (socket) => sendUnread(target, socket, query('runs.follow', { runId })))
    },
  },
  { name: 'idle connections', run: async (target) => await hold(target, 1_500, () => {}) },
  {
    name: 'connections that come and go',
    run: async (target) =>
      await hold(target, 64, (socket, nth) => {
        if (nth % 2 === 0) socket.write('GET /trpc/sessions.list HTTP/1.1\r\n')
        setTimeout(() => socket.destroy(), 5)
      }),
  },
  {
    name: 'slow bodies',
    run: async (target) =>
      await hold(target, 500, (socket) => {
        socket.write(bodyHead(target))
        drip(socket, ' ', 100)
      }),
  },
  {
    name: 'large bodies that stop before their end',
    run: async (target) => {
      const most = `${bodyHead(target)}"${'x'.repeat(999_000)}`
      await hold(target, 200, (socket) => void socket.write(most))
    },
  },
  {
    name: 'slow headers',
    run: async (target) =>
      await hold(target, 500, (socket) => {
        socket.write('GET / HTTP/1.1\r\nhost: a\r\n')
        drip(socket, 'x: y\r\n', 100)
      }),
  },
  {
    name: 'garbage',
    run: async (target) =>
      await hold(target, 32, (socket, nth) => {
        socket.resume()
        const head = 'GET /trpc/sessions.list HTTP/1.1\r\nhost: a\r\n'
        if (nth % 3 === 0) socket.write('\0\r\n\x7f'.repeat(10_000))
        else if (nth % 3 === 1) socket.write(`${head}${'x: y\r\n'.repeat(20_000)}`)
        // A thousand requests at once on one connection.
        else socket.write(`${head}authorization: Bearer ${target.user}\r\n\r\n`.repeat(1_000))
      }),
  },
]

async function sleep(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}
