import { expect, it } from 'vitest'
import { createSerializer } from './serialize.ts'

const never = new AbortController().signal

it('runs tasks of one key in the order they came, one at a time, and other keys beside them', async () => {
  const serialize = createSerializer<string>()
  const log: string[] = []
  const gate = Promise.withResolvers<void>()
  const first = serialize('a', async () => await gate.promise.then(() => log.push('a1')), never)
  const second = serialize('a', () => Promise.resolve(log.push('a2')), never)
  await serialize('b', () => Promise.resolve(log.push('b1')), never)
  expect(log).toEqual(['b1'])
  gate.resolve()
  expect(await Promise.all([first, second])).toEqual([2, 3])
  expect(log).toEqual(['b1', 'a1', 'a2'])
})

it('goes on behind a task that fails, and behind one that hangs once its signal aborts', async () => {
  const serialize = createSerializer<string>()
  const stop = new AbortController()
  const failing = serialize('a', () => Promise.reject(new Error('broken')), never)
  const hanging = serialize('a', () => new Promise<void>(() => {}), stop.signal)
  let wasBegun = false
  const aborted = serialize('a', () => Promise.resolve((wasBegun = true)), stop.signal)
  const last = serialize('a', () => Promise.resolve('done'), never)
  await expect(failing).rejects.toThrow('broken')
  stop.abort(new Error('given up'))
  await expect(hanging).rejects.toThrow('given up')
  await expect(aborted).rejects.toThrow('given up')
  expect(await last).toBe('done')
  expect(wasBegun).toBe(false)
})
