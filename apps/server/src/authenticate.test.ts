import { expect, test } from 'vitest'
import { createAuthenticate } from './authenticate.ts'

function requestWith(authorization: string | undefined) {
  return { method: 'GET', url: '/', headers: new Headers(authorization === undefined ? {} : { authorization }) }
}

test('without tokens every caller is the local user', () => {
  expect(createAuthenticate({})(requestWith(undefined))).toMatchObject({ userId: 'local' })
})

test('a token identifies its user, in any spelling of the scheme', () => {
  const tokens = { 'token-of-ada': 'ada', 'token-of-bob': 'bob' }
  const authenticate = createAuthenticate({ VERBATIM_TOKENS: new Map(Object.entries(tokens)) })
  expect(authenticate(requestWith('Bearer token-of-ada'))).toEqual({ userId: 'ada' })
  expect(authenticate(requestWith('bearer  token-of-bob '))).toEqual({ userId: 'bob' })
})

test.each([
  undefined,
  '',
  'Bearer',
  'Bearer ',
  'Bearer token-of-eve',
  'Basic token-of-ada',
  'token-of-ada',
  'Bearer token-of-ada x',
])('the header %j identifies no user', (authorization) => {
  const authenticate = createAuthenticate({ VERBATIM_TOKENS: new Map([['token-of-ada', 'ada']]) })
  expect(authenticate(requestWith(authorization))).toBeUndefined()
})

test('only the metrics token has the scope for metrics', async () => {
  const users = new Map([['token-of-ada', 'ada']])
  const authenticate = createAuthenticate({ VERBATIM_TOKENS: users, VERBATIM_METRICS_TOKEN: 'token-of-prometheus' })
  expect(await authenticate(requestWith('Bearer token-of-prometheus'))).toMatchObject({ scopes: ['verbatim:metrics'] })
  expect(await authenticate(requestWith('Bearer token-of-ada'))).toEqual({ userId: 'ada' })
})
