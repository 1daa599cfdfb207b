import { MongoServerError } from 'mongodb'
import { expect, it } from 'vitest'
import { isTransient, toVerbatimError } from './map-error.ts'

it.each([
  ['an election', 189],
  ['a cursor that the server does not know', 43],
  ['a cursor that lost its place in a capped collection', 136],
  ['a read whose plan was killed', 175],
  ['a cursor that was killed', 237],
  ['a cursor that lost its place in the oplog', 286],
])('the caller of an operation that meets %s receives UNAVAILABLE, and may try again', (_what, code) => {
  const error = new MongoServerError({ message: 'injected', code })
  expect(isTransient(error)).toBe(true)
  expect(toVerbatimError(error)).toMatchObject({ code: 'UNAVAILABLE', retryable: true })
})

it('the caller of an operation that an overloaded server has not begun receives UNAVAILABLE, and may try again', () => {
  const error = new MongoServerError({ message: 'injected', code: 462, errorLabels: ['SystemOverloadedError'] })
  expect(toVerbatimError(error)).toMatchObject({ code: 'UNAVAILABLE', retryable: true })
})

it('a refusal of the server is not transient, and leaves the repository as it is', () => {
  const error = new MongoServerError({ message: 'not authorized', code: 13 })
  expect(isTransient(error)).toBe(false)
  expect(toVerbatimError(error)).toBe(error)
})
