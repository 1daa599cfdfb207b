// @vitest-environment jsdom
import { describe, expect, it, vi } from 'vitest'
import { collect, connect } from '../testing/connect.ts'
import { eventsOfLog, logOf, runId } from '../testing/events.ts'
import {
  connectedFrame,
  firstly,
  followOf,
  openSse,
  refuse,
  startWireServer,
  wireError,
} from '../testing/wire-server.ts'
import type { Handler } from '../testing/wire-server.ts'

const log = logOf(['Hello', ' again'])

async function follow(first: Handler) {
  const server = await startWireServer({ 'runs.follow': firstly(1, first, followOf(log)) })
  // Waits so long that only a wake-up can end them within the test.
  const retry = { baseDelayMs: 600_000, maxDelayMs: 600_000 }
  return { server, run: connect(server, { retry, idleTimeoutMs: 600_000 }).runs.follow(runId) }
}

const hangs = followOf(log, { frames: 1, ending: 'hold' })

function show(state: 'visible' | 'hidden'): void {
  vi.spyOn(document, 'visibilityState', 'get').mockReturnValue(state)
  document.dispatchEvent(new Event('visibilitychange'))
}

async function expectWhole(run: AsyncIterable<unknown>): Promise<void> {
  expect(await collect(run)).toEqual(eventsOfLog(log))
}

describe('a browser that wakes up', () => {
  it.each([
    ['online', () => void window.dispatchEvent(new Event('online'))],
    ['shown', () => show('visible')],
  ])('tries again at once when it is %s while waiting for the next attempt', async (_name, wake) => {
    const { server, run } = await follow((_request, response) => refuse(response, wireError('UNAVAILABLE'), 503))
    await using _server = server
    await expect.poll(() => run.status).toBe('reconnecting')
    wake()
    await expectWhole(run)
  })

  it('takes an open connection for dead when the network is back', async () => {
    const { server, run } = await follow(hangs)
    await using _server = server
    await expect.poll(() => run.status).toBe('streaming')
    window.dispatchEvent(new Event('online'))
    // The first wait is the long one, so a second wake-up ends it.
    await expect.poll(() => run.status).toBe('reconnecting')
    window.dispatchEvent(new Event('online'))
    await expectWhole(run)
  })

  it('keeps an open connection that was alive a moment ago when the page is shown', async () => {
    const { server, run } = await follow(hangs)
    await using _server = server
    await expect.poll(() => run.status).toBe('streaming')
    show('hidden')
    show('visible')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(run.status).toBe('streaming')
    expect(server.to('runs.follow')).toHaveLength(1)
  })

  it('does not come back before the time the server asked for', async () => {
    const refusal = wireError('RATE_LIMITED', { retryAfterMs: 600_000 })
    const { server, run } = await follow((_request, response) => refuse(response, refusal, 429))
    await using _server = server
    await expect.poll(() => run.status).toBe('reconnecting')
    window.dispatchEvent(new Event('online'))
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(server.to('runs.follow')).toHaveLength(1)
  })

  it('opens no stream of states while its page is hidden, and one as soon as the page is shown', async () => {
    show('hidden')
    const server = await startWireServer({
      'sessions.follow': (_request, response) => {
        openSse(response)
        response.write(connectedFrame)
        const update = { type: 'session', sessionId: 's', session: null }
        response.write(`data: ${JSON.stringify(update)}\n\n`)
      },
    })
    await using _server = server
    const states = connect(server).sessions.follow({ sessionIds: ['s'] })
    const first = states.next()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(server.to('sessions.follow')).toHaveLength(0)
    show('visible')
    expect(await first).toMatchObject({ value: { type: 'session', sessionId: 's' } })
    expect(server.to('sessions.follow')).toHaveLength(1)
  })
})
