import { expect, it } from 'vitest'
import { Line } from './line.ts'

const open = new AbortController().signal

/** Enters tasks in the order given; `entered` tells whose turn came, in order. */
function enterAll(line: Line, keys: readonly string[]) {
  const entered: string[] = []
  const entering = keys.map(async (key, at) => {
    await line.enter(key, open)
    entered.push(`${key}${at}`)
  })
  return { entered, entering }
}

it('a line lets as many tasks in as may be active, and the others of a key in the order in which they came', async () => {
  const line = new Line({ maxActive: 2, maxActivePerKey: 2 })
  const { entered, entering } = enterAll(line, ['a', 'a', 'a', 'a'])
  await Promise.all(entering.slice(0, 2))
  expect({ entered, waiting: line.waiting }).toEqual({ entered: ['a0', 'a1'], waiting: 2 })
  line.leave('a')
  await entering[2]
  line.leave('a')
  await entering[3]
  expect({ entered, waiting: line.waiting }).toEqual({ entered: ['a0', 'a1', 'a2', 'a3'], waiting: 0 })
})

it('keys take turns, so that one with many tasks does not hold up one with few', async () => {
  const line = new Line({ maxActive: 1, maxActivePerKey: 1 })
  const { entered, entering } = enterAll(line, ['a', 'a', 'a', 'a', 'b', 'c'])
  await entering[0]
  for (const [key, next] of [
    ['a', 1],
    ['a', 4],
    ['b', 5],
    ['c', 2],
  ] as const) {
    line.leave(key)
    await entering[next]
  }
  expect(entered).toEqual(['a0', 'a1', 'b4', 'c5', 'a2'])
})

it('a key has no more active tasks than it may, and the places that are left are for other keys', async () => {
  const line = new Line({ maxActive: 3, maxActivePerKey: 2 })
  const { entered, entering } = enterAll(line, ['a', 'a', 'a', 'b'])
  await Promise.all([entering[0], entering[1], entering[3]])
  expect({ entered, waiting: line.waitingOf('a') }).toEqual({ entered: ['a0', 'a1', 'b3'], waiting: 1 })
  line.leave('b')
  expect(line.waitingOf('a')).toBe(1)
  line.leave('a')
  await entering[2]
  expect(line.waiting).toBe(0)
})

it('a task that gives up leaves the line, and the next one does not wait for it', async () => {
  const line = new Line({ maxActive: 1, maxActivePerKey: 1 })
  await line.enter('a', open)
  const gone = new AbortController()
  const givingUp = line.enter('a', gone.signal)
  const next = line.enter('a', open)
  gone.abort(new Error('enough'))
  await expect(givingUp).rejects.toThrow('enough')
  expect(line.waiting).toBe(1)
  line.leave('a')
  await next
})

it('a turn that comes at the moment in which its task gives up goes to the next task', async () => {
  const line = new Line({ maxActive: 1, maxActivePerKey: 1 })
  await line.enter('a', open)
  const gone = new AbortController()
  const givingUp = line.enter('a', gone.signal)
  const next = line.enter('b', open)
  line.leave('a')
  gone.abort(new Error('enough'))
  await expect(givingUp.then(() => line.leave('a'))).rejects.toThrow('enough')
  await next
  expect(line.waiting).toBe(0)
})
