import { expect, it } from 'vitest'
import { createGate } from '../../testing/gate.ts'
import { createSharedReads } from './shared-reads.ts'

it('readers that come while a place is read share the next read, which begins after they came', async () => {
  const share = createSharedReads<number>()
  const gate = createGate()
  let stored = 1
  let reads = 0
  const read = async () => {
    reads++
    const seen = stored
    await gate.pass()
    return seen
  }
  const first = share('a', read, undefined)
  stored = 2
  const crowd = Array.from({ length: 50 }, async () => await share('a', read, undefined))
  expect(reads).toBe(1)
  gate.open()
  expect(await first).toBe(1)
  expect(new Set(await Promise.all(crowd))).toEqual(new Set([2]))
  expect(reads).toBe(2)
  stored = 3
  expect(await share('a', read, undefined)).toBe(3)
})

it('readers at other places do not wait', async () => {
  const share = createSharedReads<string>()
  const gate = createGate()
  const held = share('a', async () => await gate.pass().then(() => 'a'), undefined)
  expect(await share('b', async () => await Promise.resolve('b'), undefined)).toBe('b')
  gate.open()
  expect(await held).toBe('a')
})

it('a reader that leaves rejects with its reason, the others receive the batches, and a read without readers ends', async () => {
  const share = createSharedReads<string>()
  const gate = createGate()
  const ended: unknown[] = []
  const read = async (signal: AbortSignal) => {
    signal.addEventListener('abort', () => ended.push(signal.aborted))
    await gate.pass()
    return 'batches'
  }
  const leaving = [new AbortController(), new AbortController(), new AbortController()] as const
  const begun = share('a', read, undefined)
  const stays = share('a', read, undefined)
  const leaves = share('a', read, leaving[0].signal)
  const alone = [share('b', read, leaving[1].signal), share('c', read, leaving[2].signal)]
  const reason = new Error('The reader left')
  leaving[0].abort(reason)
  leaving[1].abort(reason)
  await expect(leaves).rejects.toBe(reason)
  await expect(alone[0]).rejects.toBe(reason)
  expect(ended).toEqual([true])
  leaving[2].abort(reason)
  await expect(alone[1]).rejects.toBe(reason)
  expect(ended).toEqual([true, true])
  gate.open()
  expect([await begun, await stays]).toEqual(['batches', 'batches'])
})

it('a read that fails, fails for all of its readers, and the next one begins anew', async () => {
  const share = createSharedReads<string>()
  const fail = async () => await Promise.reject<string>(new Error('The database is away'))
  const crowd = await Promise.allSettled([share('a', fail, undefined), share('a', fail, undefined)])
  expect(crowd.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(await share('a', async () => await Promise.resolve('batches'), undefined)).toBe('batches')
})

it('a reader that comes after all others have left a read that waits begins its own', async () => {
  const share = createSharedReads<string>()
  const gate = createGate()
  const begun = share('a', async () => await gate.pass().then(() => 'first'), undefined)
  const read = async (signal: AbortSignal) => await Promise.resolve(signal.aborted ? 'ended' : 'next')
  const leaving = new AbortController()
  const leaves = share('a', read, leaving.signal)
  const reason = new Error('The reader left')
  leaving.abort(reason)
  await expect(leaves).rejects.toBe(reason)
  const comes = share('a', read, undefined)
  gate.open()
  expect([await begun, await comes]).toEqual(['first', 'next'])
})
