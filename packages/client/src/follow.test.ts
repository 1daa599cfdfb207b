import { once } from 'node:events'
import { lastSeqOf } from '@verbatim/core'
import type { EventBatch, RunEvent, RunHandle } from '@verbatim/core'
import { describe, expect, it, vi } from 'vitest'
import { collect, connect, hurried } from './testing/connect.ts'
import { answerOf, eventsOfLog, logOf, runId, runOf, storedAnswer } from './testing/events.ts'
import {
  batchFrame,
  connectedFrame,
  errorFrame,
  firstly,
  followFrames,
  followOf,
  openSse,
  pingFrame,
  refuse,
  reply,
  returnFrame,
  silent,
  startWireServer,
  wireError,
} from './testing/wire-server.ts'
import type { Handler, WireServer } from './testing/wire-server.ts'

const log = logOf(['All ', 'happy ', 'families ', 'are ', 'alike: ', 'größer 🌍 ', 'als sonst.'])
const events = eventsOfLog(log)
const stored = storedAnswer(log)
/** What a follow of the log is answered with: all of it, or its first frames and then a cut, or nothing more. */
const whole = followOf(log)
const cutAfter = (frames: number) => followOf(log, { frames, ending: 'cut' })
const holdAfter = (frames: number) => followOf(log, { frames, ending: 'hold' })

async function serve(follow: Handler): Promise<WireServer> {
  return await startWireServer({
    'runs.follow': follow,
    'messages.get': (_request, response) => reply(response, stored),
  })
}

/** Everything a reader can learn from a handle is the whole run, each event once. */
async function expectExactlyOnce(run: RunHandle): Promise<void> {
  const [seen, text, batches, message] = await Promise.all([
    collect(run),
    collect(run.text),
    collect(run.batches),
    run.message,
  ])
  expect(seen).toEqual(events)
  expect(text.join('')).toBe('All happy families are alike: größer 🌍 als sonst.')
  expect(batches.flatMap((batch) => batch.events)).toEqual(events)
  expect(batches.at(-1)?.cursor).toBe(`${runId}:${events.length}`)
  expect(message).toEqual(stored)
  expect(run.status).toBe('completed')
  expect(run.answer).toEqual(answerOf(log))
}

const wholeBytes = (after: number): Buffer => Buffer.from(followFrames(log, { after, id: runId }).join(''))
const wholeLength = wholeBytes(0).length

describe('a follow whose connection is cut', () => {
  it('says every event once when every connection is cut after each possible number of frames', async () => {
    const frames = followFrames(log, { after: 0, id: runId }).length
    for (let cut = 0; cut < frames; cut++) {
      // The first connection breaks off after `cut` frames, the later ones bring one batch each.
      await using server = await serve(firstly(1, cutAfter(cut), cutAfter(2)))
      await expectExactlyOnce(connect(server).runs.follow(runId))
      // Before each batch that is not there yet there was one more connection.
      expect(server.to('runs.follow')).toHaveLength(cut === frames - 1 ? 1 : 2 + log.length - Math.max(cut, 1))
    }
  })

  it('says every event once wherever in a frame the bytes are cut', async () => {
    const cuts = Array.from({ length: 60 }, (_, index) => Math.floor((index * wholeLength) / 60))
    await Promise.all(
      cuts.map(async (cut) => {
        await using server = await serve((request, response) => {
          openSse(response)
          const bytes = wholeBytes(request.after)
          if (request.nth > 0) return void response.end(bytes)
          response.write(bytes.subarray(0, cut), () => response.destroy())
        })
        await expectExactlyOnce(connect(server).runs.follow(runId))
        const isWhole = cut > wholeLength - returnFrame.length
        expect(server.to('runs.follow')).toHaveLength(isWhole ? 1 : 2)
      }),
    )
  })

  it('asks for what comes after the last whole batch, and for nothing it has', async () => {
    await using server = await serve((request, response) => {
      openSse(response)
      const sent = followFrames(log, { after: request.after, id: runId })
      if (request.nth === 2) return void response.end(sent.join(''))
      response.write(sent.slice(0, 3).join('') + sent[3]!.slice(0, 20), () => response.destroy())
    })
    await expectExactlyOnce(connect(server).runs.follow(runId))
    expect(server.to('runs.follow').map((request) => request.after)).toEqual([
      0,
      lastSeqOf(log[1]!),
      lastSeqOf(log[3]!),
    ])
  })

  it('comes back after an answer that ends well but without the word that the run ended', async () => {
    await using server = await serve(firstly(3, followOf(log, { frames: 2 }), whole))
    await expectExactlyOnce(connect(server).runs.follow(runId))
    expect(server.to('runs.follow')).toHaveLength(4)
  })

  it('ends with the terminal event, even when the server then holds the connection open', async () => {
    await using server = await serve(holdAfter(-1))
    await expectExactlyOnce(connect(server).runs.follow(runId))
    await expect.poll(() => server.openStreams).toBe(0)
  })
})

describe('a follow that is refused', () => {
  const refusals: [string, Handler][] = [
    ['503', (_request, response) => refuse(response, wireError('UNAVAILABLE'), 503)],
    ['a proxy’s 502 page', (_request, response) => void response.writeHead(502).end('<html>bad gateway</html>')],
    ['204', (_request, response) => void response.writeHead(204).end()],
    [
      'a captive portal’s 200',
      (_request, response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<p>'),
    ],
    ['a cut before the headers', (_request, response) => void response.destroy()],
    ['429', (_request, response) => refuse(response, wireError('RATE_LIMITED', { retryAfterMs: 5 }), 429)],
    [
      'an error of the server in the stream',
      (_request, response) => {
        openSse(response)
        response.end(connectedFrame + errorFrame(wireError('UNAVAILABLE'), 503))
      },
    ],
    [
      'a frame that is no JSON',
      (_request, response) => {
        openSse(response)
        response.end(`${connectedFrame}data: undefined\n\n`)
      },
    ],
  ]

  it.each(refusals)('tries again after %s, from where it was', async (_name, refusal) => {
    await using server = await serve(async (request, response) => {
      if (request.nth % 2 === 1) return await refusal(request, response)
      await firstly(4, cutAfter(3), whole)(request, response)
    })
    const run = connect(server).runs.follow(runId)
    const states: string[] = []
    run.subscribe(() => states.push(run.status))
    await expectExactlyOnce(run)
    expect(states).toContain('reconnecting')
    expect(states.at(-1)).toBe('completed')
  })

  it.each([
    ['FORBIDDEN', 403],
    ['RUN_NOT_FOUND', 404],
    ['INVALID_CURSOR', 400],
    ['CURSOR_EXPIRED', 412],
  ] as const)('gives up at once on %s', async (code, status) => {
    await using server = await serve((_request, response) => refuse(response, wireError(code), status))
    const run = connect(server).runs.follow(runId)
    await expect(collect(run)).rejects.toMatchObject({ code })
    await expect(collect(run.text)).rejects.toMatchObject({ code })
    await expect(run.message).rejects.toMatchObject({ code })
    expect(run.status).toBe('error')
    expect(run.error).toMatchObject({ code })
    expect(server.to('runs.follow')).toHaveLength(1)
  })

  it('gives up on an error of the request that comes in the stream', async () => {
    await using server = await serve((_request, response) => {
      openSse(response)
      response.end(connectedFrame + errorFrame(wireError('RUN_NOT_FOUND'), 404))
    })
    await expect(collect(connect(server).runs.follow(runId))).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
  })

  it('asks once for a new token after a 401, and goes on with it', async () => {
    await using server = await serve((request, response) => {
      if (request.authorization !== 'Bearer new') return refuse(response, wireError('UNAUTHENTICATED'), 401)
      return whole(request, response)
    })
    const token = vi.fn<(ask: { refresh: boolean }) => string>(({ refresh }) => (refresh ? 'new' : 'old'))
    expect(await collect(connect(server, { token }).runs.follow(runId))).toEqual(events)
    expect(token.mock.calls.map(([{ refresh }]) => refresh)).toEqual([false, true])
  })

  it('gives up when the new token is refused as well', async () => {
    await using server = await serve((_request, response) => refuse(response, wireError('UNAUTHENTICATED'), 401))
    const run = connect(server, { token: () => 'old' }).runs.follow(runId)
    await expect(collect(run)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
    expect(server.to('runs.follow')).toHaveLength(2)
  })

  it('uses a fresh token on every attempt', async () => {
    await using server = await serve(firstly(3, cutAfter(2), whole))
    let count = 0
    await collect(connect(server, { token: async () => `token-${++count}` }).runs.follow(runId))
    const used = server.to('runs.follow').map((request) => request.authorization)
    expect(used).toEqual(['Bearer token-1', 'Bearer token-2', 'Bearer token-3', 'Bearer token-4'])
  })

  it('gives up after maxAttempts failures in a row, and progress starts the count anew', async () => {
    await using server = await serve((request, response) => {
      // Two failures, a batch, and so on: never three in a row until the batches are over.
      if (request.nth % 3 !== 2 || request.nth > 9) return refuse(response, wireError('UNAVAILABLE'), 503)
      return cutAfter(2)(request, response)
    })
    const run = connect(server, { retry: { ...hurried, maxAttempts: 4 } }).runs.follow(runId)
    await expect(collect(run)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(run.answer.lastSeq).toBe(lastSeqOf(log[2]!))
  })

  it('waits at least as long as the server asks for', async () => {
    const times: number[] = []
    await using server = await serve((request, response) => {
      times.push(performance.now())
      if (request.nth === 0) return refuse(response, wireError('RATE_LIMITED', { retryAfterMs: 300 }), 429)
      return whole(request, response)
    })
    await collect(connect(server).runs.follow(runId))
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(299)
  })

  it('takes the reconnection time of the stream for its base delay', async () => {
    await using server = await serve((request, response) => {
      openSse(response)
      const sent = followFrames(log, { after: request.after, id: runId })
      if (request.nth > 3) return void response.end(sent.join(''))
      response.write(`retry: 1\n\n${sent.slice(0, 2).join('')}`, () => response.destroy())
    })
    const slow = { baseDelayMs: 60_000, maxDelayMs: 60_000 }
    expect(await collect(connect(server, { retry: slow }).runs.follow(runId))).toEqual(events)
  })
})

describe('a server that says strange things', () => {
  it('is taken for dead when it is silent for longer than idleTimeoutMs', async () => {
    await using server = await serve(firstly(2, holdAfter(4), whole))
    await expectExactlyOnce(connect(server, { idleTimeoutMs: 2_000 }).runs.follow(runId))
    expect(server.to('runs.follow')).toHaveLength(3)
    await expect.poll(() => server.openStreams).toBe(0)
  })

  it('is taken for dead when it does not even answer', async () => {
    await using server = await serve(firstly(1, () => {}, whole))
    await expectExactlyOnce(connect(server, { idleTimeoutMs: 2_000 }).runs.follow(runId))
    expect(server.to('runs.follow')).toHaveLength(2)
  })

  it('is alive as long as its heartbeat comes', async () => {
    await using server = await serve((_request, response) => {
      openSse(response)
      let beats = 0
      const timer = setInterval(() => {
        beats += 1
        if (beats < 12) return void response.write(pingFrame)
        clearInterval(timer)
        response.end(followFrames(log, { after: 0, id: runId }).join(''))
      }, 300)
    })
    await expectExactlyOnce(connect(server, { idleTimeoutMs: 3_000 }).runs.follow(runId))
    expect(server.to('runs.follow')).toHaveLength(1)
  })

  it('may send batches twice or overlapping: each event is taken once', async () => {
    const merged: EventBatch = {
      firstSeq: log[1]!.firstSeq,
      events: [...log[1]!.events, ...log[2]!.events, ...log[3]!.events],
    }
    const order = [log[0]!, log[0]!, log[1]!, merged, log[2]!, log[1]!, ...log.slice(3), log[0]!]
    await using server = await serve((_request, response) => {
      openSse(response)
      response.end(connectedFrame + order.map((batch) => batchFrame(batch, runId)).join('') + returnFrame)
    })
    await expectExactlyOnce(connect(server).runs.follow(runId))
    expect(server.to('runs.follow')).toHaveLength(1)
  })

  it('may leave a batch out: it is asked for again', async () => {
    await using server = await serve((request, response) => {
      openSse(response)
      const sent = followFrames(log, { after: request.after, id: runId })
      response.end((request.nth === 0 ? sent.toSpliced(3, 1) : sent).join(''))
    })
    await expectExactlyOnce(connect(server).runs.follow(runId))
    expect(server.to('runs.follow').map((request) => request.after)).toEqual([0, lastSeqOf(log[1]!)])
  })

  it('may name wrong cursors: the place is taken from the batches', async () => {
    await using server = await serve((request, response) => {
      openSse(response)
      const sent = followFrames(log, { after: request.after, id: runId }).map((frame) =>
        frame.replace(/^id: .*$/m, 'id: 9999'),
      )
      if (request.nth === 0) response.write(sent.slice(0, 4).join(''), () => response.destroy())
      else response.end(sent.join(''))
    })
    await expectExactlyOnce(connect(server).runs.follow(runId))
    expect(server.to('runs.follow').at(-1)?.after).toBe(lastSeqOf(log[2]!))
  })
})

describe('readers of one handle', () => {
  const big = logOf(Array.from({ length: 2000 }, (_, index) => `${index} ${'x'.repeat(1000)} `))

  it('stops reading the connection when the buffer is full and no reader waits, and loses nothing', async () => {
    let written = 0
    // The system's own socket buffers take a few megabytes; the rest must stay on the server.
    const huge = logOf(Array.from({ length: 20_000 }, () => 'y'.repeat(2000)))
    await using server = await serve(async (request, response) => {
      openSse(response)
      for (const frame of followFrames(huge, { after: request.after, id: runId })) {
        written += frame.length
        if (!response.write(frame)) await once(response, 'drain')
      }
      response.end()
    })
    const run = connect(server, { maxBufferedChars: 100_000 }).runs.follow(runId)
    await expect.poll(() => run.answer.lastSeq).toBeGreaterThan(30)
    let last = -1
    await vi.waitFor(
      () => {
        const before = last
        last = written
        expect(written).toBe(before) // no longer grows
      },
      { interval: 300, timeout: 20_000 },
    )
    expect(written).toBeLessThan(20_000_000)
    expect(run.answer.lastSeq).toBeLessThan(200)
    const seen = await collect(run)
    expect(seen).toHaveLength(eventsOfLog(huge).length)
    expect(server.to('runs.follow')).toHaveLength(1)
  })

  it('gives a late reader everything from the beginning, though the buffer has long dropped it', async () => {
    await using server = await serve(followOf(big))
    const run = connect(server, { maxBufferedChars: 50_000 }).runs.follow(runId)
    const first = await collect(run)
    const second = await collect(run)
    expect(first).toEqual(eventsOfLog(big))
    expect(second).toEqual(first)
    expect(server.to('runs.follow').map((request) => request.after)).toEqual([0, 0])
  })

  it('lets a slow and a fast reader go side by side', async () => {
    await using server = await serve(followOf(big))
    const run = connect(server, { maxBufferedChars: 20_000 }).runs.follow(runId)
    const slowly = async (): Promise<RunEvent[]> => {
      const seen: RunEvent[] = []
      for await (const event of run) {
        seen.push(event)
        if (seen.length % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      return seen
    }
    const [slow, fast] = await Promise.all([slowly(), collect(run)])
    expect(fast).toEqual(eventsOfLog(big))
    expect(slow).toEqual(fast)
  })

  it('lets one reader leave without ending the others', async () => {
    await using server = await serve(whole)
    const run = connect(server).runs.follow(runId)
    for await (const _event of run) break
    await expectExactlyOnce(run)
    expect(server.to('runs.follow')).toHaveLength(1)
  })

  it('frees the connection and tells its readers when the handle is closed', async () => {
    await using server = await serve(holdAfter(3))
    const run = connect(server).runs.follow(runId)
    const reading = collect(run)
    await expect.poll(() => run.status).toBe('streaming')
    run.close()
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' })
    await expect(run.message).rejects.toMatchObject({ name: 'AbortError' })
    expect(run.status).toBe('closed')
    await expect.poll(() => server.openStreams).toBe(0)
  })

  it('rejects with the signal’s own reason', async () => {
    await using server = await serve(silent)
    const controller = new AbortController()
    const run = connect(server).runs.follow(runId, { signal: controller.signal })
    const reading = collect(run)
    controller.abort(new Error('left the page'))
    await expect(reading).rejects.toThrowError('left the page')
  })
})

describe('joining a run', () => {
  it('goes on after any cursor with exactly what comes next', async () => {
    await using server = await serve(whole)
    const client = connect(server)
    const ended = runOf(runId, { status: 'completed', lastSeq: events.length, metrics: stored.metrics })
    server.on('runs.get', (_request, response) => reply(response, ended))
    for (let seq = 0; seq <= events.length; seq++) {
      const run = client.runs.follow(runId, { after: `${runId}:${seq}` })
      expect(await collect(run)).toEqual(events.slice(seq))
      expect(await run.message).toEqual(stored)
      expect(run.status).toBe('completed')
    }
  })

  it('keeps the answer whole when it is given the answer so far', async () => {
    await using server = await serve(whole)
    const run = connect(server).runs.follow(runId, { answer: answerOf(log.slice(0, 4)) })
    expect(await collect(run)).toEqual(eventsOfLog(log.slice(4)))
    expect(run.answer).toEqual(answerOf(log))
  })

  it('refuses a cursor of another run at once', async () => {
    await using server = await serve(whole)
    const other = '11111111-1111-4111-8111-111111111111'
    expect(() => connect(server).runs.follow(runId, { after: `${other}:3` })).toThrowError(
      expect.objectContaining({ code: 'INVALID_CURSOR' }),
    )
    expect(server.requests).toHaveLength(0)
  })
})
