/**
 * `runs.follow` and `sessions.follow` over server-sent events, in tRPC's own format: stock clients work unchanged, at about a tenth of the cost of
 * tRPC's pipeline of web streams. The procedure runs as usual (input, principal, errors); only the writing is ours.
 */
import {
  callTRPCProcedure,
  getTRPCErrorFromUnknown,
  getTRPCErrorShape,
  isTrackedEnvelope,
  TRPCError,
} from '@trpc/server'
import type { TrackedEnvelope } from '@trpc/server'
import { VerbatimError } from '@verbatim/core'
import type { EventBatch } from '@verbatim/core'
import type { ApiContext, Caller } from '../context.ts'
import { eventStreamHeaders, lastWordsOf, reconnectHint } from '../sse/event-stream.ts'
import type { ItemFraming } from '../sse/stream-writer.ts'
import { leastCallBytes } from '../limits/byte-pace.ts'
import { reportedErrorOf, toSubscriptionError } from '../to-wire-error.ts'
import { guardStream, keepPace, requestQuery } from './exchange.ts'
import type { ApiParts, Exchange } from './exchange.ts'

export const followRoutes = ['runs.follow', 'sessions.follow'] as const

type FollowRoute = (typeof followRoutes)[number]

/** What a refused follow counts beside: its stream, its error and its end take the event loop as long as three calls more. */
const refusedFollowBytes = 3 * leastCallBytes

/** Silence that clients may take for a dead connection, in heartbeats. */
const silentHeartbeats = 3

export async function serveFollow(parts: ApiParts, exchange: Exchange, route: FollowRoute): Promise<void> {
  const { router } = parts
  const caller = callerOf(parts, exchange)
  const isAccepted = await caller.then(
    (known) => known !== null,
    () => false,
  )
  await keepPace(parts, exchange) // a refused follow costs as much as a call, and its client may come back at once
  const onRefusal = () => parts.answers.pace.charge(parts.answers.callerOf(exchange.request), refusedFollowBytes)
  const framing = followFraming(parts, { route, isAccepted, onRefusal })
  const stream = parts.streams.open(exchange.openStream(eventStreamHeaders), framing)
  await stream.pipe(async (signal) => {
    const ctx: ApiContext = { principal: await caller }
    if (ctx.principal !== null) guardStream(parts, stream, { caller: ctx.principal, request: exchange.request })
    const items: unknown = await callTRPCProcedure({
      router,
      path: route,
      getRawInput: async () => readInput(exchange, router._def._config.transformer),
      ctx,
      type: 'subscription',
      signal,
      batchIndex: 0,
    })
    return items as AsyncIterable<unknown> // the procedure's output schema has checked it
  }, framing)
}

/** To its client a heartbeat means that the credentials were accepted, so the first one comes at once. */
function followFraming(
  { router, options, logger, streams: { frames } }: ApiParts,
  { route, isAccepted, onRefusal }: { route: FollowRoute; isAccepted: boolean; onRefusal: () => void },
): ItemFraming<unknown> {
  const config = router._def._config
  const serialize = (value: unknown) => JSON.stringify(config.transformer.output.serialize(value))
  const connected = JSON.stringify({ reconnectAfterInactivityMs: options.heartbeatMs * silentHeartbeats })
  const ping = trpcFrame('ping', '')
  return {
    kind: 'trpc',
    ping,
    interrupted: reconnectHint(options),
    opening: reconnectHint(options) + trpcFrame('connected', connected) + (isAccepted ? ping : ''),
    encode(item) {
      if (!isTrackedEnvelope(item)) return `data: ${serialize(item)}\n\n\n`
      const [cursor, batch] = item as TrackedEnvelope<EventBatch> // of `runs.follow`, the one that tracks
      const known = frames.get(batch)
      if (known !== undefined) return known
      const frame = `data: ${serialize(batch)}\nid: ${cursor}\n\n\n` // a cursor holds no line break
      frames.set(batch, frame)
      return frame
    },
    ending: trpcFrame('return', ''),
    failure: (cause) =>
      lastWordsOf(cause, { options, logger, where: route }, () => {
        onRefusal()
        const error = getTRPCErrorFromUnknown(cause)
        const call = { type: 'subscription', path: route, input: undefined, ctx: undefined } as const
        return trpcFrame('serialized-error', serialize(getTRPCErrorShape({ config, error, ...call })))
      }),
  }
}

/** An event of tRPC's own; `data` is one line. tRPC ends its frames with two blank lines, so this writer does too. */
function trpcFrame(event: string, data: string): string {
  return `event: ${event}\ndata: ${data}\n\n\n`
}

async function callerOf({ identify, logger }: ApiParts, { request }: Exchange): Promise<Caller | null> {
  try {
    return await identify(request)
  } catch (error) {
    throw toSubscriptionError(reportedErrorOf(error, { logger, where: 'authenticate' }))
  }
}

interface Deserializer {
  readonly input: { deserialize(value: unknown): unknown }
}

/** The input as tRPC builds it: the query's, with the cursor of a reconnecting EventSource. */
function readInput({ request }: Exchange, transformer: Deserializer): unknown {
  const query = requestQuery(request)
  const text = query.get('input')
  const input = text === null || text === '' ? undefined : transformer.input.deserialize(parseJson(text))
  const lastEventId =
    request.headers.get('last-event-id') ?? query.get('lastEventId') ?? query.get('Last-Event-Id') ?? ''
  if (lastEventId === '') return input
  if (input === undefined) return { lastEventId }
  return typeof input === 'object' && input !== null && !Array.isArray(input) ? { ...input, lastEventId } : input
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    const error = new VerbatimError('INVALID_INPUT', 'The input is not JSON', { data: { field: 'input' }, cause })
    throw new TRPCError({ code: 'BAD_REQUEST', message: error.message, cause: error })
  }
}
