import { connect } from 'node:net'
import { expect, it } from 'vitest'
import { openTestApi } from '../testing/serve-test-api.ts'

/** What one connection answers to `count` requests that are sent at once, until `enough` have come or it is cut. */
async function pipeline(url: string, { count, enough }: { count: number; enough: number }): Promise<number> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.write('GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n'.repeat(count))
  let text = ''
  const answered = () => text.match(/HTTP\/1\.1 200/g)?.length ?? 0
  try {
    for await (const piece of socket) {
      text += String(piece)
      if (answered() >= enough) break
    }
  } catch {
    // Cut: what came before counts.
  }
  socket.destroy()
  return answered()
}

it('a connection that has a thousand requests under way at once is cut, and one with a few is served', async () => {
  await using api = await openTestApi()
  expect(await pipeline(api.url, { count: 10, enough: 10 })).toBe(10)
  expect(await pipeline(api.url, { count: 1_000, enough: 1_000 })).toBeLessThanOrEqual(16)
  // One after another, a connection may have any number.
  const answers = []
  for (let nth = 0; nth < 50; nth++) answers.push((await fetch(`${api.url}/health/live`)).status)
  expect(new Set(answers)).toEqual(new Set([200]))
})
