import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import { createPublisher } from './publisher.ts'

function count() {
  const onWatched = vi.fn<() => void>()
  const onUnwatched = vi.fn<() => void>()
  let value = 0
  const publisher = createPublisher({ initial: 0, take: () => value, onWatched, onUnwatched })
  return { publisher, onWatched, onUnwatched, set: (next: number) => (value = next) }
}

describe('a publisher', () => {
  it('connects for the first listener and disconnects after the last', async () => {
    const { publisher, onWatched, onUnwatched } = count()
    const leave = [publisher.subscribe(() => {}), publisher.subscribe(() => {})]
    expect(onWatched).toHaveBeenCalledOnce()
    leave[0]!()
    await delay(5)
    expect(onUnwatched).not.toHaveBeenCalled()
    leave[1]!()
    await delay(5)
    expect(onUnwatched).toHaveBeenCalledOnce()
  })

  it('stays connected when the last listener leaves and comes back at once, as under StrictMode', async () => {
    const { publisher, onWatched, onUnwatched } = count()
    publisher.subscribe(() => {})()
    publisher.subscribe(() => {})
    await delay(5)
    expect(onWatched).toHaveBeenCalledOnce()
    expect(onUnwatched).not.toHaveBeenCalled()
  })

  it('tells of many changes once, with the last of them', async () => {
    const { publisher, set } = count()
    const listener = vi.fn<() => void>()
    publisher.subscribe(listener)
    for (let index = 1; index <= 10; index++) {
      set(index)
      publisher.publish()
    }
    expect(publisher.getSnapshot()).toBe(0) // the same until the listeners are called
    await delay(5)
    expect(listener).toHaveBeenCalledOnce()
    expect(publisher.getSnapshot()).toBe(10)
  })
})
