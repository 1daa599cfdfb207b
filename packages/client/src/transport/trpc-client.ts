/**
 * The typed tRPC client over a connection, and the only file that knows the router's type.
 * The build copies that type into our declarations: a consumer has no @verbatim/api to look it up in.
 */
import { createTRPCClient, httpLink, TRPCClientError } from '@trpc/client'
import type { TRPCClient, TRPCLink } from '@trpc/client'
import { observable } from '@trpc/server/observable'
import { childController, seqOf, toRunId, withCursors } from '@verbatim/core'
import type { AppRouter } from '@verbatim/api'
import type { RunId } from '@verbatim/core'
import type { Connection } from './connection.ts'
import { followRun } from './follow-run.ts'
import { errorOfAnswer, isTrpcError, toVerbatimError } from './to-error.ts'

/**
 * The raw, typed tRPC client: `verbatim.trpc.<router>.<procedure>.query(…)`. Its errors are tRPC's `TRPCClientError`s, with
 * ours as `cause`. Calls are never batched and never repeated; `runs.follow.subscribe` comes back after a lost connection.
 */
export type VerbatimTrpcClient = TRPCClient<AppRouter>

/** @param closed ends every subscription when the client closes */
export function createTrpcClient(connection: Connection, closed: AbortSignal): VerbatimTrpcClient {
  const { encode, decode } = connection.transformer
  const calls = httpLink<AppRouter>({
    url: connection.url,
    fetch: (url: RequestInfo | URL, init: CallInit) => callFetch(connection, url, init),
    // The router's type says that there is none: that is true of the server that we serve, and a team's root may have one.
    transformer: {
      input: { serialize: encode, deserialize: encode },
      output: { serialize: decode, deserialize: decode },
    },
  } as object as Parameters<typeof httpLink<AppRouter>>[0])
  return createTRPCClient<AppRouter>({ links: [followLink(connection, closed), mountLink(connection), calls] })
}

type CallInit = Parameters<NonNullable<Parameters<typeof httpLink>[0]['fetch']>>[1]

/** A call's fetch: asks once more with a new token when the token was refused, and names what is not the server's answer. */
async function callFetch(connection: Connection, input: RequestInfo | URL, init: CallInit): Promise<Response> {
  const url = input instanceof Request ? input.url : input.toString()
  const request = { ...init, signal: init?.signal ?? null } as RequestInit // tRPC describes the same fields more loosely
  let response = await connection.fetch(url, request, { refresh: false })
  if (response.status === 401) {
    await response.body?.cancel()
    response = await connection.fetch(url, request, { refresh: true })
  }
  const isJson = response.headers.get('content-type')?.includes('json') === true
  if (isJson && response.ok) return response
  const text = await response.text().catch(() => '') // the status alone says enough when the body breaks
  // tRPC's client reads tRPC's shape; what another server in between answers, it would take for no answer at all.
  if (isJson && isTrpcError(text, connection.transformer)) return new Response(text, response)
  throw errorOfAnswer(response, text, connection.transformer)
}

/** Carries subscriptions over our own resumable follow; passes every other operation on. */
function followLink(connection: Connection, closed: AbortSignal): TRPCLink<AppRouter> {
  return () =>
    ({ op, next }) => {
      if (op.type !== 'subscription') return next(op)
      return observable((observer) => {
        const { controller, release } = childController(closed, op.signal ?? undefined)
        const { signal } = controller
        const follow = async () => {
          const { runId, after } = followInputOf(op.input)
          const batches = withCursors(runId, followRun(connection, { runId, after, signal }))
          for await (const { cursor: id, firstSeq, events } of batches) {
            observer.next({ result: { type: 'data', id, data: { id, data: { firstSeq, events } } } })
          }
          observer.next({ result: { type: 'stopped' } })
        }
        const onEnd = () => {
          release()
          observer.complete()
        }
        void follow().then(onEnd, (error: unknown) => {
          if (signal.aborted) return onEnd()
          release()
          observer.error(TRPCClientError.from(toVerbatimError(error)))
        })
        return () => controller.abort()
      })
    }
}

/** Names the procedure as the server's own tRPC app does, when our router is mounted in one. */
function mountLink(connection: Connection): TRPCLink<AppRouter> {
  return () =>
    ({ op, next }) =>
      next({ ...op, path: connection.pathOf(op.path) })
}

function followInputOf(input: unknown): { runId: RunId; after: number } {
  const { runId, lastEventId } = input as { runId: string; lastEventId?: string | null } // the router's type made sure of it
  const id = toRunId(runId)
  return { runId: id, after: seqOf(lastEventId, id) }
}
