import { expect, it } from 'vitest'
import { createSerializer } from './serialize.ts'

const never = new AbortController().signal

it('a serializer runs the tasks of one key one at a time in the order they came, and other keys at the same time', async () => {
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

it('a serializer runs the next task after one that fails, and after one that hangs when its signal aborts', async () => {
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
