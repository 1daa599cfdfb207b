/** A reader that does not read costs one buffer of memory: the writer stops pulling, and cuts the reader off in time. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { EventBatch, fromCursor } from '@verbatim/core'
import { allFrames, query } from '@verbatim/test-kit/http'
import { describe, expect, it } from 'vitest'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

const frames = 240
const frameBytes = 32 * 1024

/** A finished run of about 8 MB (an answer may be no larger), each 32 KB its own batch at most. */
async function startLongRun(app: TestApi): Promise<string> {
  const runId = await app.startRun('/big '.repeat(frames).trim())
  await (await app.fetch(`/chat/sse/${runId}`)).text()
  return runId
}

async function metric(app: TestApi, name: string): Promise<number> {
  const text = await (await app.fetch('/metrics', { user: 'ops' })).text()
  const line = text.split('\n').find((one) => one.startsWith(name))
  return Number(line?.split(' ').at(-1) ?? 0)
}

const trpcFrames = 'verbatim_frames_total{kind="trpc"}'

describe('a reader that does not read', () => {
  it("the server writes at most one frame over a slow reader's buffer, and the reader receives everything once it reads", async () => {
    await using app = await openTestApi()
    const runId = await startLongRun(app)
    const headers = { authorization: 'Bearer alice' }
    const response = await app.api.fetchHandler(new Request(`http://x${query('runs.follow', { runId })}`, { headers }))
    await expect.poll(async () => await metric(app, trpcFrames)).toBeGreaterThan(1)
    await new Promise((resolve) => setTimeout(resolve, 300)) // time in which an unbounded writer would write everything
    expect(await metric(app, trpcFrames)).toBeLessThan(5)
    const events = (await allFrames(response))
      .filter(({ id }) => id !== undefined)
      .flatMap(({ data, id }) => {
        const batch = EventBatch.parse(JSON.parse(data ?? ''))
        expect(fromCursor(id ?? '', runId).seq).toBe(batch.firstSeq + batch.events.length - 1)
        return batch.events
      })
    const text = events.map((event) =>
      event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? event.delta.text : '',
    )
    expect(text.join('').length).toBe(frames * frameBytes)
  })

  it('the server cuts a stalled reader off, and until then holds no more than its buffer', async () => {
    await using app = await openTestApi({ stalledReaderTimeoutMs: 400, heartbeatMs: 100 })
    const runId = await startLongRun(app)
    const sockets: Socket[] = []
    app.server.on('connection', (socket) => sockets.push(socket))
    const reader = connect(Number(new URL(app.url).port), '127.0.0.1')
    reader.pause()
    reader.on('error', () => {}) // it is reset, as it should be
    let mostBuffered = 0
    const watch = setInterval(() => {
      mostBuffered = Math.max(mostBuffered, ...sockets.map((socket) => socket.writableLength))
    }, 5)
    reader.write(`GET ${query('runs.follow', { runId })} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\n\r\n`)
    await expect.poll(async () => await metric(app, trpcFrames)).toBeGreaterThan(0)
    await expect.poll(async () => await metric(app, 'verbatim_streams_ended_total{kind="trpc",end="stalled"}')).toBe(1)
    clearInterval(watch)
    expect(await metric(app, trpcFrames)).toBeLessThan(frames) // otherwise the reader never lagged and the test proves nothing
    expect(mostBuffered).toBeLessThan(4 * frameBytes)
    expect(app.engine.stats().followers).toBe(0)
    reader.destroy()
  })
})
