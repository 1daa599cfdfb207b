import { VerbatimError } from '@verbatim/core'
import { describe, expect, it, vi } from 'vitest'
import { BatchBudget } from './batch-budget.ts'
import { LargeBodies } from './large-bodies.ts'
import { KeyedLimit } from './keyed-limit.ts'
import { OpenAnswers } from './open-answers.ts'

const signal = new AbortController().signal
const refuse = () => new VerbatimError('RATE_LIMITED')

describe('KeyedLimit', () => {
  it('lets so many in for each key, and the others in the order in which they came', async () => {
    const limit = new KeyedLimit({ maxAtOnce: 1, maxWaiting: 2, refuse })
    const order: string[] = []
    const leaveFirst = await limit.enter('a', signal)
    const waiting = ['second', 'third'].map(async (name) => {
      const leave = await limit.enter('a', signal)
      order.push(name)
      leave()
    })
    await expect(limit.enter('a', signal)).rejects.toMatchObject({ code: 'RATE_LIMITED' })
    const leaveOther = await limit.enter('b', signal)
    expect(order).toEqual([])
    leaveFirst()
    await Promise.all(waiting)
    leaveOther()
    expect(order).toEqual(['second', 'third'])
    const again = await limit.enter('a', signal)
    again()
  })

  it('a waiter that aborts leaves its place to the next one', async () => {
    const limit = new KeyedLimit({ maxAtOnce: 1, maxWaiting: 2, refuse })
    const leave = await limit.enter('a', signal)
    const aborted = new AbortController()
    const gone = limit.enter('a', aborted.signal)
    const next = limit.enter('a', signal)
    aborted.abort(new Error('gone'))
    await expect(gone).rejects.toThrow('gone')
    leave()
    const leaveNext = await next
    leaveNext()
  })
})

describe('LargeBodies', () => {
  it('after a large body the next one of its caller waits as long as it took, and the large one of another caller does not', async () => {
    vi.useFakeTimers()
    try {
      const gate = new LargeBodies({ maxLargeBodies: 2 })
      const bodyBytes = 1024 * 1024
      await gate.pass({ caller: 'a', bodyBytes, signal }, async () => void vi.advanceTimersByTime(100))
      let isServed = false
      const second = gate.pass({ caller: 'a', bodyBytes, signal }, async () => void (isServed = true))
      expect(await gate.pass({ caller: 'b', bodyBytes, signal }, async () => 'other')).toBe('other')
      await vi.advanceTimersByTimeAsync(99)
      expect(isServed).toBe(false)
      await vi.advanceTimersByTimeAsync(1)
      await second
      expect(isServed).toBe(true)
    } finally {
      vi.useRealTimers()
    }
  })

  it('a caller has one large body under way, and a small call of it and a large one of another pass', async () => {
    const gate = new LargeBodies({ maxLargeBodies: 2 })
    const large = 1024 * 1024
    let finish = () => {}
    const open = gate.pass({ caller: 'a', bodyBytes: large, signal }, async () => {
      await new Promise<void>((resolve) => (finish = resolve))
    })
    let isServed = false
    const second = gate.pass({ caller: 'a', bodyBytes: large, signal }, async () => void (isServed = true))
    expect(await gate.pass({ caller: 'a', bodyBytes: 10, signal }, async () => 'small')).toBe('small')
    expect(await gate.pass({ caller: 'b', bodyBytes: large, signal }, async () => 'other')).toBe('other')
    expect(isServed).toBe(false)
    finish()
    await Promise.all([open, second])
    expect(isServed).toBe(true)
  })

  it('a call that fails leaves its place', async () => {
    const gate = new LargeBodies({ maxLargeBodies: 1 })
    const call = { caller: 'a', bodyBytes: 1024 * 1024, signal }
    for (let at = 0; at < 3; at++) {
      await expect(gate.pass(call, async () => await Promise.reject(new Error('no')))).rejects.toThrow('no')
    }
    expect(await gate.pass(call, async () => 'served')).toBe('served')
  })
})

describe('BatchBudget', () => {
  const reads = new KeyedLimit({ maxAtOnce: 1, maxWaiting: 0, refuse: () => new Error('Two reads at once') })
  const answering = (bytes: number) => async () => ({ ok: true, data: 'x'.repeat(bytes) })

  it('queries past the budget fail, the first answer never does, and a mutation keeps its answer', async () => {
    const pace = { charge: () => {}, keep: async () => {} }
    const line = new KeyedLimit({ maxAtOnce: 2, maxWaiting: 10, refuse: () => new Error('The line is full') })
    const limits = { caller: 'a', line, reads, maxBatchAnswerBytes: 1_000, pace }
    const batch = new BatchBudget(limits)
    expect(await batch.run('query', answering(600))).toMatchObject({ ok: true })
    await expect(batch.run('query', answering(600))).rejects.toMatchObject({ code: 'RATE_LIMITED', retryable: true })
    expect(await batch.run('query', answering(300))).toMatchObject({ ok: true })
    expect(await batch.run('mutation', answering(600))).toMatchObject({ ok: true })
    await expect(batch.run('mutation', answering(1))).rejects.toMatchObject({ data: { maxBytes: 1_000 } })
    expect(await new BatchBudget(limits).run('query', answering(5_000))).toMatchObject({ ok: true })
  })

  it('The calls of the batches of one caller take turns in their order, each keeps the pace and counts in it', async () => {
    const log: string[] = []
    const pace = { charge: (bytes: number) => void log.push(`${bytes}`), keep: async () => void log.push('keeps') }
    const line = new KeyedLimit({ maxAtOnce: 1, maxWaiting: 10, refuse: () => new Error('The line is full') })
    const limits = { caller: 'a', line, reads, maxBatchAnswerBytes: 1_000_000, pace }
    const [one, other] = [new BatchBudget(limits), new BatchBudget(limits)]
    const call = async (batch: BatchBudget, name: string, bytes: number) =>
      await batch.run('query', async () => {
        log.push(name)
        return await answering(bytes - 2)()
      })
    await Promise.all([call(one, 'one 1', 5), call(one, 'one 2', 50_000), call(other, 'other 1', 7)])
    const failing = async () => await Promise.resolve({ ok: false })
    await other.run('query', failing)
    const small = String(32 * 1024)
    expect(log).toEqual(['keeps', 'one 1', '5', 'keeps', 'one 2', '50000', 'keeps', 'other 1', '7', 'keeps', small])
  })
})

describe('OpenAnswers', () => {
  it('past its bound the caller with most bytes loses its oldest answer', () => {
    const open = new OpenAnswers({ maxOpenAnswerBytes: 100 })
    const cut: string[] = []
    const add = (caller: string, bytes: number, name: string) =>
      open.add({ caller, bytes, cut: () => void cut.push(name) })
    add('honest', 20, 'honest 1')
    add('hostile', 30, 'hostile 1')
    const remove = add('hostile', 30, 'hostile 2')
    add('honest', 30, 'honest 2')
    expect([cut, open.bytes]).toEqual([['hostile 1'], 80])
    remove()
    remove()
    expect(open.bytes).toBe(50)
    add('other', 200, 'other 1')
    expect([cut, open.bytes]).toEqual([['hostile 1', 'honest 1', 'honest 2'], 200])
  })
})
