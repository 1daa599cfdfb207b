/** Processes that give each other hints, over real sockets. Whatever a peer does, a follower has what the log has. */
import { hkdfSync } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectPlain, createServer as createPlainServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { connect, createServer } from 'node:tls'
import type { TLSSocket } from 'node:tls'
import type { RunEvent } from '@verbatim/core'
import { listenForPeers } from '@verbatim/core/peer-hints'
import type { Agent, Engine, EventLog, PeerHints } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { freePort } from '@verbatim/test-kit/http'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { manualAgent, textDelta } from '../support/agents.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { ada, followAll, startRun, waitOptions } from '../support/follow.ts'

const secret = 'the secret of the fleet that this file starts'
const listen = '127.0.0.1:0'

let database: TestDatabase
beforeAll(async () => void (database = await openDatabase()))
afterAll(async () => await database[Symbol.asyncDispose]())

interface ProcessInput {
  readonly peerHints: PeerHints
  readonly agent?: Agent
  readonly pollMs?: number
  /** @default never: it takes no run over */
  readonly recoveryMs?: number
  /** False: no look finds anything, only hints do. */
  readonly canPoll?: () => boolean
  readonly onRead?: () => void
}

function inputOf(input: ProcessInput) {
  const { peerHints, agent = manualAgent(), pollMs = 50, recoveryMs = 600_000, canPoll = () => true, onRead } = input
  const { eventLog } = database.storage
  const watched: EventLog = {
    ...eventLog,
    read: async (key, range) => (onRead?.(), await eventLog.read(key, range)),
    readNext: async (positions) => (canPoll() ? await eventLog.readNext(positions) : []),
  }
  return { agents: [agent], options: { pollMs, recoveryMs }, wrap: () => ({ peerHints, eventLog: watched }) }
}

function openProcess(input: ProcessInput): Engine {
  return openEngine(database, inputOf(input))
}

/** What the log has of a run. */
async function storedEvents(runId: string): Promise<RunEvent[]> {
  const { eventLog } = database.storage
  const batches = await eventLog.read(eventLog.keyOf(ada, runId), { after: 0, maxBatches: 10_000 })
  return batches.flatMap(({ events }) => events)
}

function textOf(events: readonly RunEvent[]): string {
  return events
    .map((event) => (event.type === 'content_block_delta' && 'text' in event.delta ? event.delta.text : ''))
    .join('')
}

it('a follower receives what another process writes from that process, and reads the log only for a long entry', async () => {
  const long = 'x'.repeat(70_000)
  const words = ['one ', 'two ', long, ...Array.from({ length: 10 }, (_, at) => `${at} `)]
  const agent = manualAgent()
  await using writer = openProcess({ peerHints: await listenForPeers({ secret, listen }), agent })
  const reads: number[] = []
  let received = ''
  const onRead = () => void reads.push(received.length)
  const peerHints = await listenForPeers({ secret, listen })
  await using reader = openProcess({ peerHints, pollMs: 600_000, canPoll: () => false, onRead })
  expect([writer.hints(), reader.hints()]).toEqual(['peers', 'peers'])
  const runId = await startRun(writer, { sessionId: 'entries' })
  const left = [...words]
  const events = await followAll(reader, runId, {
    onBatch({ events: batch }) {
      received += textOf(batch)
      // Each word is said only after the one before has arrived at the other process.
      if (!words.join('').startsWith(received)) throw new Error('Something else was received')
      if (received.length < words.join('').length - left.join('').length) return
      const next = left.shift()
      if (next === undefined) agent.end()
      else agent.say(next)
    },
  })
  expect(textOf(events)).toBe(words.join(''))
  expect(events).toEqual(await storedEvents(runId))
  const readsLater = reads.filter((length) => length >= 'one '.length)
  expect(readsLater.length).toBeGreaterThan(0)
  expect(readsLater.length).toBeLessThan(4)
})

it('a follower goes on with the process that takes a run over from one that has died', async () => {
  const [first, second] = [manualAgent(), manualAgent()]
  const dying = await listenForPeers({ secret, listen })
  await using lost = openCrashableEngine(database, inputOf({ peerHints: dying, agent: first }))
  let canPoll = true
  await using reader = openProcess({ peerHints: await listenForPeers({ secret, listen }), canPoll: () => canPoll })
  const runId = await startRun(lost.engine, { sessionId: 'takeover' })
  let seen: string[] = []
  const following = followAll(reader, runId, {
    onBatch: ({ events }) => void (seen = [...seen, ...events.map(({ type }) => type)]),
  })
  await vi.waitFor(() => expect([seen, first.requests.length]).toEqual([['run_started'], 1]), waitOptions)
  await using taker = openProcess({
    peerHints: await listenForPeers({ secret, listen }),
    agent: second,
    recoveryMs: 50,
  })
  await lost.crash()
  await dying.close()
  await vi.waitFor(
    () => expect([seen, second.requests.length]).toEqual([['run_started', 'run_resumed'], 1]),
    waitOptions,
  )
  canPoll = false
  second.say('from the ', 'second')
  second.end()
  expect(textOf(await following)).toBe('from the second')
  expect(await following).toEqual(await storedEvents(runId))
  expect(taker.stats().runsEnded.completed).toBe(1)
})

const tlsOptions = { ciphers: 'ECDHE-PSK-CHACHA20-POLY1305', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const
const psk = Buffer.from(hkdfSync('sha256', secret, '', 'verbatim hints of peers', 32))

interface BadPeer extends AsyncDisposable {
  readonly address: string
}

async function served(server: Server): Promise<BadPeer> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => void sockets.add(socket.on('error', () => {})))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

type OnFollow = (followed: { key: string; after: number }, write: (line: unknown) => void, socket: TLSSocket) => void

/** A process that has the secret, and answers as `onFollow` says. */
async function openGiver(onFollow: OnFollow): Promise<BadPeer> {
  const server = createServer({ ...tlsOptions, pskCallback: () => psk }, (socket) => {
    socket.on('error', () => {}).setEncoding('utf8')
    socket.on('data', (text: string) => {
      for (const line of text.split('\n').filter((one) => one !== '')) {
        const frame = JSON.parse(line)
        if (frame.type === 'follow') onFollow(frame, (answer) => socket.write(`${JSON.stringify(answer)}\n`), socket)
      }
    })
  })
  return await served(server)
}

/** Bytes that the handshake needs; what comes after that are entries. */
const handshakeBytes = 600

/** Passes everything on to `port`, and `alter` may change what comes back after the handshake. */
async function openProxy(port: number, alter: (chunk: Buffer, near: Socket) => Buffer): Promise<BadPeer> {
  const server = createPlainServer((near) => {
    const far = connectPlain(port, '127.0.0.1').on('error', () => near.destroy())
    near.on('close', () => far.destroy()).pipe(far)
    let passed = 0
    far.on('close', () => near.destroy())
    far.on('data', (chunk: Buffer) => {
      passed += chunk.length
      near.write(passed > handshakeBytes ? alter(chunk, near) : chunk)
    })
  })
  return await served(server)
}

function flipBit(chunk: Buffer): Buffer {
  chunk.writeUInt8(chunk.readUInt8(chunk.length - 1) ^ 1, chunk.length - 1)
  return chunk
}

function tear(chunk: Buffer, near: Socket): Buffer {
  setImmediate(() => near.destroy())
  return chunk.subarray(0, chunk.length / 2)
}

const grown = (key: string, firstSeq: number, events: unknown[]) => ({
  type: 'grown',
  key,
  entry: { firstSeq, events },
})
const lie = textDelta('LIE')

const badPeers: Readonly<Record<string, (port: number) => Promise<BadPeer>>> = {
  'sits between the two and changes what passes': async (port) => await openProxy(port, flipBit),
  'breaks off in the middle of each entry': async (port) => await openProxy(port, tear),
  'is gone': async () => {
    const gone = await openGiver(() => {})
    await gone[Symbol.asyncDispose]()
    return gone
  },
  'is another process at the same address': async () => {
    const other = await listenForPeers({ secret, listen })
    return { address: other.processId.split('@')[1] ?? '', [Symbol.asyncDispose]: async () => await other.close() }
  },
  'accepts and says nothing': async () => await served(createPlainServer()),
  'promises hints and gives none': async () => await openGiver(({ key }, write) => write({ type: 'followed', key })),
  'sends what is not JSON': async () =>
    await openGiver((_followed, _write, socket) => socket.write('\0{"type":"grown"\n')),
  'sends a line without an end': async () =>
    await openGiver((_followed, _write, socket) => void socket.write('x'.repeat(200_000))),
  'sends entries that are doubled, early, of other runs or not entries, and leaves and comes back': async () =>
    await openGiver(({ key, after }, write) => {
      write({ type: 'followed', key })
      write({ type: 'grown', key })
      write(grown(key, 1, [lie]))
      write(grown(key, after + 1_000, [lie]))
      write(grown(key, after + 2, [{ type: 'run_failed' }]))
      write(grown(`${key.slice(1)}x`, after + 1, [lie]))
      write(grown(key, after + 1, [{ type: 'no_such_event', text: 'LIE' }]))
      write(grown(key, after + 1, []))
      write({ type: 'left', key })
      write({ type: 'followed', key })
    }),
}

/** An answer that goes on after the hints have failed, word by word: as a follower receives it, and as the log has it. */
async function answerTwice({
  writer,
  reader,
  agent,
}: {
  writer: Engine
  reader: Engine
  agent: ReturnType<typeof manualAgent>
}) {
  const runId = await startRun(writer, { sessionId: crypto.randomUUID() })
  const words = Array.from({ length: 12 }, (_, at) => `${at} `)
  agent.say(words[0] ?? '')
  let received = ''
  let said = 1
  const events = await followAll(reader, runId, {
    onBatch({ events: batch }) {
      received += textOf(batch)
      if (received !== words.slice(0, said).join('')) return
      if (said === words.length) agent.end()
      else agent.say(words[said++] ?? '')
    },
  })
  return { said: words.join(''), received: events, stored: await storedEvents(runId) }
}

describe('a follower receives what the log has, once and in order, when the peer that its lease names', () => {
  it.each(Object.entries(badPeers))('%s', async (_title, open) => {
    const port = await freePort()
    await using bad = await open(port)
    const agent = manualAgent()
    const peerHints = await listenForPeers({ secret, listen: `127.0.0.1:${port}`, address: bad.address })
    await using writer = openProcess({ peerHints, agent })
    await using reader = openProcess({ peerHints: await listenForPeers({ secret, listen }) })
    const { said, received, stored } = await answerTwice({ writer, reader, agent })
    expect(received).toEqual(stored)
    expect(textOf(received)).toBe(said)
  })

  it('has another secret', async () => {
    const agent = manualAgent()
    const peerHints = await listenForPeers({ secret: secret.toUpperCase(), listen })
    await using writer = openProcess({ peerHints, agent })
    await using reader = openProcess({ peerHints: await listenForPeers({ secret, listen }) })
    const { said, received, stored } = await answerTwice({ writer, reader, agent })
    expect(received).toEqual(stored)
    expect(textOf(received)).toBe(said)
  })
})

describe('a process that gives hints', () => {
  /** A connection of a peer as the test plays it. */
  async function dial(port: number, { secretKey = psk, identity }: { secretKey?: Buffer; identity: string }) {
    const socket = connect({
      ...tlsOptions,
      host: '127.0.0.1',
      port,
      pskCallback: () => ({ psk: secretKey, identity }),
      checkServerIdentity: () => undefined,
    })
    const frames: { type: string; key: string; entry?: { events: RunEvent[] } }[] = []
    let rest = ''
    socket.on('error', () => {}).setEncoding('utf8')
    socket.on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      frames.push(...lines.filter((line) => line !== '').map((line) => JSON.parse(line)))
    })
    const closed = new Promise((resolve) => socket.once('close', resolve))
    await Promise.race([once(socket, 'secureConnect').catch(() => {}), closed])
    const send = (line: unknown) => void socket.write(`${typeof line === 'string' ? line : JSON.stringify(line)}\n`)
    return { frames, closed, send, isAuthorized: !socket.destroyed, [Symbol.dispose]: () => void socket.destroy() }
  }

  async function openWriter() {
    const stack = new AsyncDisposableStack()
    const agent = manualAgent()
    const peerHints = await listenForPeers({ secret, listen })
    const engine = stack.use(openProcess({ peerHints, agent }))
    const [id = '', address = ''] = peerHints.processId.split('@')
    const runId = await startRun(engine, { sessionId: crypto.randomUUID() })
    stack.defer(async () => {
      agent.end() // the next test's process would take over what is left
      await followAll(engine, runId)
    })
    const key = database.storage.eventLog.keyOf(ada, runId)
    const port = Number(address.split(':')[1])
    return {
      agent,
      engine,
      runId,
      key,
      port,
      identity: `verbatim-hints-1 ${id}`,
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
  }

  it('shows nothing to a caller without the secret, or who asks for another process or protocol', async () => {
    await using writer = await openWriter()
    const { port, identity } = writer
    for (const attempt of [
      { identity, secretKey: Buffer.alloc(32) },
      { identity: identity.replace(/.$/, 'x') },
      { identity: identity.replace('-1 ', '-2 ') },
      { identity: '' },
    ]) {
      using stranger = await dial(port, attempt)
      stranger.send({ type: 'follow', key: writer.key, after: 0 })
      await stranger.closed
      expect([stranger.isAuthorized, stranger.frames]).toEqual([false, []])
    }
  })

  it('gives a peer the runs that it names by their key, and no others, until it says that it follows no more', async () => {
    await using writer = await openWriter()
    using peer = await dial(writer.port, writer)
    peer.send({ type: 'follow', key: 'x'.repeat(32), after: 0 })
    peer.send({ type: 'follow', key: writer.runId, after: 0 }) // the id that callers know
    peer.send({ type: 'follow', key: writer.key, after: 0 })
    await vi.waitFor(() => expect(peer.frames).toHaveLength(4), waitOptions)
    expect(peer.frames.map(({ type, key }) => [type, key])).toEqual([
      ['left', 'x'.repeat(32)],
      ['left', writer.runId],
      ['followed', writer.key],
      ['grown', writer.key],
    ])
    expect(peer.frames[3]?.entry?.events.map(({ type }) => type)).toEqual(['run_started'])
    peer.send({ type: 'unfollow', key: writer.key })
    peer.send({ type: 'follow', key: 'y', after: 0 })
    await vi.waitFor(() => expect(peer.frames).toHaveLength(5), waitOptions)
    writer.agent.say('unheard')
    writer.agent.end()
    await vi.waitFor(() => expect(writer.engine.stats().runsEnded.completed).toBe(1), waitOptions)
    peer.send({ type: 'follow', key: writer.key, after: 0 })
    await vi.waitFor(() => expect(peer.frames.slice(4).map(({ type }) => type)).toEqual(['left', 'left']), waitOptions)
  })

  it.each(['not JSON', '{"type":"all"}', '{"type":"follow","key":"k","after":-1}', 'x'.repeat(600)])(
    'drops a peer that says %j',
    async (line) => {
      await using writer = await openWriter()
      using peer = await dial(writer.port, writer)
      expect(peer.isAuthorized).toBe(true)
      peer.send(line)
      await peer.closed
      expect(peer.frames).toEqual([])
    },
  )

  it('closes every connection with its engine, also those that have not proved anything', async () => {
    const writer = await openWriter()
    using peer = await dial(writer.port, writer)
    const unproven = connectPlain(writer.port, '127.0.0.1').on('error', () => {})
    await once(unproven, 'connect')
    const closed = once(unproven, 'close')
    await writer[Symbol.asyncDispose]()
    await Promise.all([peer.closed, closed])
    const refused = connectPlain(writer.port, '127.0.0.1')
    await expect(once(refused, 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })
})

it.each([
  [{ secret: 'short' }, 'peerHints.secret: must have at least 32 characters'],
  [
    { secret, address: 'http://10.0.0.4' },
    'peerHints.address: must be host:port, such as 10.0.0.4:8788 or [fd00::4]:8788',
  ],
  [{ secret, listen: '192.0.2.1:80' }, 'peerHints.listen: 192.0.2.1:80: EADDRNOTAVAIL'],
])('a process does not start with %j', async (options, message) => {
  await expect(listenForPeers(options)).rejects.toMatchObject({ code: 'INVALID_CONFIGURATION', message })
})
