/** What stands between a client and its server answers in words of its own: a gateway, a proxy, a guard. The status is the truth. */
import { isVerbatimError, VerbatimError } from '@verbatim/core'
import { expect, it } from 'vitest'
import { connect } from './testing/connect.ts'
import { sessionId } from './testing/events.ts'
import { silent, startWireServer } from './testing/wire-server.ts'
import type { Handler } from './testing/wire-server.ts'

const answering =
  (status: number, body: string, headers: Record<string, string> = {}): Handler =>
  (_request, response) =>
    void response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)

const bodies = {
  'JSON of its own': '{"message":"denied by policy","code":"E_DENY"}',
  'an error of its own under our name': '{"error":{"code":"E_DENY","message":"denied"}}',
  'an error in words': '{"error":"denied"}',
  'JSON that is cut': '{"error":{"co',
  nothing: '',
}

it.each(
  Object.entries(bodies).flatMap(([what, body]) =>
    (
      [
        [401, 'UNAUTHENTICATED'],
        [403, 'FORBIDDEN'],
        [404, 'NOT_FOUND'],
        [413, 'PAYLOAD_TOO_LARGE'],
      ] as const
    ).map(([status, code]) => ({ status, what, code, body })),
  ),
)('a $status with $what is $code for calls and for streams, and final', async ({ status, code, body }) => {
  const refusing = answering(status, body)
  await using server = await startWireServer({
    'sessions.get': refusing,
    'runs.start': refusing,
    'runs.follow': silent,
  })
  const client = connect(server)
  await expect(client.sessions.get(sessionId)).rejects.toMatchObject({ code })
  await expect(client.chat(sessionId).send('x').started).rejects.toMatchObject({ code })
  // A refused token is tried once more with a new one.
  expect(server.to('runs.start')).toHaveLength(status === 401 ? 2 : 1)
  server.on('runs.follow', refusing)
  await expect(client.runs.follow(crypto.randomUUID()).message).rejects.toMatchObject({ code })
})

it('a 429 of a gateway is RATE_LIMITED with its Retry-After, and what may be repeated is', async () => {
  const limited = answering(429, '{"message":"slow down"}', { 'retry-after': '1' })
  await using server = await startWireServer({ 'sessions.get': limited, 'runs.start': limited, 'runs.follow': silent })
  const client = connect(server, { retry: { baseDelayMs: 1, maxDelayMs: 1, maxCallAttempts: 2 } })
  await expect(client.sessions.get(sessionId)).rejects.toMatchObject({
    code: 'RATE_LIMITED',
    data: { retryAfterMs: 1_000 },
  })
  await expect(client.chat(sessionId).send('x').started).rejects.toMatchObject({ code: 'RATE_LIMITED' })
  expect(server.to('runs.start')).toHaveLength(2)
})

it('a call whose server asks for a wait of minutes fails at once with that time, so that a person can know', async () => {
  const limited = answering(429, '{"message":"tomorrow"}', { 'retry-after': '3600' })
  await using server = await startWireServer({ 'runs.start': limited, 'runs.follow': silent })
  const client = connect(server)
  await expect(client.chat(sessionId).send('x').started).rejects.toMatchObject({ data: { retryAfterMs: 3_600_000 } })
  expect(server.to('runs.start')).toHaveLength(1)
})

it('a start that meets a crowd in front of its session is repeated with the same run', async () => {
  const crowd = new VerbatimError('SESSION_BUSY', 'Too many', { data: { kind: 'contention', retryAfterMs: 1 } })
  const shape = { error: { message: 'Too many', code: -32009, data: { httpStatus: 409, verbatim: crowd.toWire() } } }
  const crowded = answering(409, JSON.stringify(shape))
  await using server = await startWireServer({ 'runs.start': crowded, 'runs.follow': silent })
  const client = connect(server, { retry: { baseDelayMs: 1, maxDelayMs: 1, maxCallAttempts: 3 } })
  await expect(client.chat(sessionId).send('x').started).rejects.toMatchObject({ code: 'SESSION_BUSY' })
  const runIds = server.to('runs.start').map(({ input }) => input['runId'])
  expect(runIds).toHaveLength(3)
  expect(new Set(runIds).size).toBe(1)
})

it('an error of ours in the shape of the plain endpoints, as a guard in front of the server sends it, keeps its code and words', async () => {
  const error = {
    code: 'FORBIDDEN',
    message: 'Pages of another origin may not call this server',
    retryable: false,
    data: {},
  }
  const guard = answering(403, JSON.stringify({ error }))
  await using server = await startWireServer({ 'sessions.get': guard, 'runs.follow': guard })
  const client = connect(server)
  await expect(client.sessions.get(sessionId)).rejects.toMatchObject({ code: 'FORBIDDEN', message: error.message })
  const failure: unknown = await client.runs.follow(crypto.randomUUID()).message.catch((reason: unknown) => reason)
  expect(isVerbatimError(failure) && failure.message).toBe(error.message)
})
