import { expect, it, vi } from 'vitest'
import { childController } from './child-controller.ts'

it('a child aborts with the reason of any of its parents, also of one that aborted before', () => {
  const first = new AbortController()
  const second = new AbortController()
  const child = childController(first.signal, undefined, second.signal)
  second.abort('enough')
  expect(child.controller.signal.reason).toBe('enough')
  expect(childController(first.signal, second.signal).controller.signal.reason).toBe('enough')
})

it('a child that is released does not abort with its parents', () => {
  const parent = new AbortController()
  const released = childController(parent.signal)
  const kept = childController(parent.signal)
  released.release()
  parent.abort()
  expect(released.controller.signal.aborted).toBe(false)
  expect(kept.controller.signal.aborted).toBe(true)
})

it('a signal has one listener however many children it has, because Node warns of a leak from the eleventh on', () => {
  const parent = new AbortController()
  const listening = vi.spyOn(parent.signal, 'addEventListener')
  const children = Array.from({ length: 20 }, () => childController(parent.signal))
  expect(listening).toHaveBeenCalledTimes(1)
  for (const { release } of children.slice(1)) release()
  parent.abort()
  expect(children.map(({ controller }) => controller.signal.aborted)).toEqual(children.map((_child, at) => at === 0))
})
