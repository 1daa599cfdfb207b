import { expect, it } from 'vitest'
import type { RunKey } from '../../ports/event-log.ts'
import { createGate } from '../../testing/gate.ts'
import { createReadTurns } from './read-turns.ts'

const crowded = 'crowded' as RunKey
const other = 'other' as RunKey

it('a crowd of readers of one run reads a few at a time, and a reader of another run does not wait for them', async () => {
  const readInTurn = createReadTurns()
  const gate = createGate()
  let reading = 0
  let mostReading = 0
  const read = async () => {
    mostReading = Math.max(mostReading, ++reading)
    await gate.pass()
    return reading--
  }
  const crowd = Array.from({ length: 100 }, async () => await readInTurn(crowded, read, undefined))
  expect(await readInTurn(other, () => Promise.resolve('read'), undefined)).toBe('read')
  expect(mostReading).toBe(8)
  gate.open()
  await Promise.all(crowd)
  expect([mostReading, reading]).toEqual([8, 0])
})

it('a reader that leaves the crowd rejects with its reason, and takes no turn', async () => {
  const readInTurn = createReadTurns()
  const gate = createGate()
  const held = Array.from({ length: 8 }, async () => await readInTurn(crowded, () => gate.pass(), undefined))
  const leaving = new AbortController()
  const reason = new Error('The reader has left')
  const left = readInTurn(crowded, () => Promise.reject(new Error('It reads')), leaving.signal)
  leaving.abort(reason)
  await expect(left).rejects.toBe(reason)
  gate.open()
  await Promise.all(held)
  expect(await readInTurn(crowded, () => Promise.resolve('read'), undefined)).toBe('read')
})
