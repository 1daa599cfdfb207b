/** Errors as tRPC clients get them: tRPC's own shape, with ours under `data.verbatim`. */
import type {
  TRPCDefaultErrorShape,
  TRPC_ERROR_CODE_KEY,
  TRPC_ERROR_CODE_NUMBER,
  TRPCError,
  TRPCErrorShape,
} from '@trpc/server'
import type { WireError } from '@verbatim/core'
import { verbatimErrorOf } from './to-wire-error.ts'

/** What every error of the router carries beside tRPC's own fields. */
export interface AppErrorData {
  readonly code: TRPC_ERROR_CODE_KEY
  readonly httpStatus: number
  readonly path?: string
  /** The typed error; `VerbatimError.fromWire` makes it one again. */
  readonly verbatim: WireError
  readonly [key: string]: unknown
}

/** An error of the router on the wire. */
export interface AppErrorShape extends TRPCErrorShape<AppErrorData> {
  message: string
  code: TRPC_ERROR_CODE_NUMBER
}

/** tRPC's `errorFormatter` of the router. A team that mounts the router may use it for its own root as well. */
export function toErrorShape({ error, shape }: { error: TRPCError; shape: TRPCDefaultErrorShape }): AppErrorShape {
  const known = verbatimErrorOf(error)
  const { code, path } = shape.data
  return {
    message: known.message,
    code: shape.code,
    data: { code, httpStatus: known.httpStatus, ...(path === undefined ? {} : { path }), verbatim: known.toWire() },
  }
}
