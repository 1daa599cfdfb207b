/** What /chat/stream and /chat/sse share: the caller, and the run that the body starts. */
import { errorOf, excessOfValue, ownerOf, refuseExcess, RunId, StartRunInput, VerbatimError } from '@verbatim/core'
import type { Owner } from '@verbatim/core'
import type { Caller } from '../context.ts'
import { reportedErrorOf } from '../to-wire-error.ts'
import { errorResponse, passLargeBody, readBoundedBody } from './exchange.ts'
import type { ApiParts, Exchange } from './exchange.ts'

/** The input of `runs.start` without the run's id, which is a header here. */
const ChatInput = StartRunInput.omit({ runId: true })

export interface ChatRun {
  readonly caller: Caller
  readonly owner: Owner
  readonly runId: RunId
}

/** @throws VerbatimError `UNAUTHENTICATED` */
export async function requireCaller({ identify }: ApiParts, { request }: Exchange): Promise<Omit<ChatRun, 'runId'>> {
  const caller = await identify(request)
  if (caller === null) throw errorOf('UNAUTHENTICATED')
  return { caller, owner: ownerOf(caller) }
}

/**
 * Starts the run that the body asks for. It belongs to the server: the caller may leave. Undefined when the start was refused and that is
 * answered. The answer names the run, because one whose start is in doubt may be stored all the same.
 */
export async function startChat(parts: ApiParts, exchange: Exchange): Promise<ChatRun | undefined> {
  const { caller, owner } = await requireCaller(parts, exchange)
  const leave = await parts.turns.enter(caller, exchange.closed)
  try {
    const runId = await passLargeBody(parts, exchange, async () => await startRun(parts, exchange, owner))
    return runId === undefined ? undefined : { caller, owner, runId }
  } finally {
    leave()
  }
}

/** Undefined when the start was refused, and the exchange has its answer. */
async function startRun(parts: ApiParts, exchange: Exchange, owner: Owner): Promise<RunId | undefined> {
  const body = parseJson(await readBoundedBody(exchange, parts.options))
  refuseExcess(excessOfValue(body))
  const input = ChatInput.parse(body)
  const key = exchange.request.headers.get('idempotency-key')
  const runId = key === null ? crypto.randomUUID() : parseRunId(key, 'Idempotency-Key')
  const refused = await parts.engine.runs.start(owner, { ...input, runId }).then(
    () => undefined,
    (error: unknown) => reportedErrorOf(error, { logger: parts.logger, where: '/chat' }),
  )
  if (refused === undefined) return runId
  exchange.respond(errorResponse(refused, { 'x-run-id': runId }))
  return undefined
}

/** @throws VerbatimError `INVALID_INPUT` naming `field` */
export function parseRunId(text: string, field: string): RunId {
  const parsed = RunId.safeParse(text)
  if (parsed.success) return parsed.data
  throw new VerbatimError('INVALID_INPUT', `${field}: must be a UUID, the id of a run`, { data: { field } })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new VerbatimError('INVALID_INPUT', 'The body is not JSON', { data: { field: '' }, cause })
  }
}
