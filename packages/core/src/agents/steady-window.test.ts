import { expect, it } from 'vitest'
import type { Message } from '../contract/message.ts'
import { steadyWindow } from './claude/history.ts'
import { messagesOf } from './testing/ask-agent.ts'

function windowOf(newestSeq: number, size: number): Message[] {
  const from = Math.max(1, newestSeq - size + 1)
  const texts = Array.from({ length: newestSeq - from + 1 }, (_, at) => String(from + at))
  return messagesOf(texts, from)
}

it('the window keeps the start of a long conversation for several turns and gives up at most a quarter of its size', () => {
  const starts = Array.from({ length: 100 }, (_, turn) => {
    const window = steadyWindow(windowOf(101 + turn * 2, 40))
    expect(window.length).toBeGreaterThan(30)
    expect(window.at(-1)?.seq).toBe(101 + turn * 2)
    return window[0]?.seq
  })
  expect(new Set(starts).size).toBeLessThanOrEqual(21)
})
