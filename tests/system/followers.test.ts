/** Followers do not disturb one another or the run, however many and however slow they are. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { EventBatch, textOf } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import { createParser } from 'eventsource-parser'
import { describe, expect, it, vi } from 'vitest'
import { beginning, saying, startProvider, textDelta } from '@verbatim/test-kit/provider'
import { query } from '@verbatim/test-kit/http'
import { openApp } from '../support/app.ts'
import type { App } from '../support/app.ts'
import { claudeAt } from '../support/claude.ts'
import { openDatabase } from '../support/engine.ts'
import { answerFrom, waitOptions } from '../support/follow.ts'
import { followRaw } from '../support/frames.ts'
import { expectIdle } from '../support/leaks.ts'

const sessionId = 'session-1'

/** For who follows before there is a run: however long its start takes. */
const patientFollows = { startWaitMs: 20_000 }

async function startRun(app: App): Promise<string> {
  const runId = crypto.randomUUID()
  await app.mutate('runs.start', { runId, sessionId, message: 'Talk' })
  return runId
}

describe('followers of one run', () => {
  it('all followers of a run receive the same events, whenever and on whichever server they join', async () => {
    await using database = await openDatabase()
    await using provider = await startProvider(beginning())
    const input = { agents: [claudeAt(provider.url)], database }
    await using maker = await openApp(input)
    await using other = await openApp(input)
    const runId = await startRun(maker)
    const join = () => [
      followRaw(maker, runId).then(({ events }) => events),
      followRaw(other, runId).then(({ events }) => events),
      collect(maker.client().runs.follow(runId)),
      collect(other.client().runs.follow(runId)),
    ]
    const first = join()
    await vi.waitFor(() => expect(provider.calls).toHaveLength(1), waitOptions)
    const [call] = provider.calls
    call!.send(textDelta('One '))
    await vi.waitFor(async () => {
      const run = other.client().runs.follow(runId)
      for await (const text of run.text) return expect(text).toBe('One ')
    }, waitOptions)
    const second = join()
    call!.finish('two ', 'three.')
    const [whole, ...others] = await Promise.all([...first, ...second])
    expect(textOf(answerFrom(whole ?? []).content)).toBe('One two three.')
    expect(others).toHaveLength(7)
    for (const events of others) expect(events).toEqual(whole)
    for (const events of await Promise.all(join())) expect(events).toEqual(whole)
    await Promise.all([expectIdle(maker.engine), expectIdle(other.engine)])
  })
})

describe('a follower that is slower than the run', () => {
  const piece = 'x'.repeat(32 * 1024)
  const pieces = Array.from({ length: 220 }, (_, nth) => `${nth} ${piece} `)
  /** About 7 MB: more than all buffers between us and a reader hold. */
  const talkALot = saying(...pieces)

  it('a follower that does not read holds no other up and receives everything when it reads', async () => {
    await using provider = await startProvider(talkALot)
    await using app = await openApp({ agents: [claudeAt(provider.url)], options: patientFollows })
    const runId = crypto.randomUUID()
    const slow = openUnread(app, runId)
    await vi.waitFor(() => expect(app.engine.stats().followers).toBe(1), waitOptions)
    await app.mutate('runs.start', { runId, sessionId, message: 'Talk a lot' })
    const quick = await followRaw(app, runId)
    expect(quick.hasReturned).toBe(true)
    expect(quick.events.at(-1)?.type).toBe('run_completed')
    // The slow follower's unread stream stays open, though all of it was sent to another twice.
    expect((await followRaw(app, runId)).events).toEqual(quick.events)
    expect(app.engine.stats()).toMatchObject({ runsActive: 0, followers: 1, pendingBytes: 0 })
    const events = await readAll(slow)
    expect(events).toEqual(quick.events)
    await expectIdle(app.engine)
  })

  it('the client reads from the server again what its own buffer cannot hold', async () => {
    await using provider = await startProvider(talkALot)
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const run = app.client({ maxBufferedChars: 200_000 }).chat(sessionId).send('Talk a lot')
    const reading = run.text[Symbol.asyncIterator]()
    const first = await reading.next()
    // Nothing more is read until the run is over.
    await vi.waitFor(() => expect(app.engine.stats().runsEnded.completed).toBe(1), waitOptions)
    expect(run.status).not.toBe('completed')
    let text = String(first.value)
    for (let part = await reading.next(); part.done !== true; part = await reading.next()) text += part.value
    expect(text.length).toBe(pieces.join('').length)
    expect(text === pieces.join('')).toBe(true) // as one value: a difference of 7 MB would be unreadable
    expect(run.status).toBe('completed')
  })
})

async function collect(events: AsyncIterable<RunEvent>): Promise<RunEvent[]> {
  const all: RunEvent[] = []
  for await (const event of events) all.push(event)
  return all
}

/** A follow whose socket is not read from. */
function openUnread(app: App, runId: string): Socket {
  const socket = connect(Number(new URL(app.url).port), '127.0.0.1')
  socket.pause()
  const path = query('runs.follow', { runId })
  // HTTP/1.0: the body is not chunked, and ends with the connection.
  socket.write(`GET ${path} HTTP/1.0\r\nhost: x\r\nauthorization: Bearer ada\r\n\r\n`)
  return socket
}

/** Reads it now, to its end; fails when an event is missing or doubled. */
async function readAll(socket: Socket): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  let hasReturned = false
  const parser = createParser({
    onEvent({ event, id, data }) {
      if (event === 'return') hasReturned = true
      if (id === undefined) return
      const batch = EventBatch.parse(JSON.parse(data))
      expect(batch.firstSeq).toBe(events.length + 1)
      events.push(...batch.events)
    },
  })
  let head = ''
  let isBody = false
  for await (const chunk of socket.setEncoding('utf8')) {
    if (isBody) parser.feed(String(chunk))
    head += isBody ? '' : String(chunk)
    const end = head.indexOf('\r\n\r\n')
    if (isBody || end === -1) continue
    isBody = true
    parser.feed(head.slice(end + 4))
  }
  expect(hasReturned).toBe(true)
  return events
}
