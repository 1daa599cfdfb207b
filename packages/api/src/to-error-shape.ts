/** Errors as tRPC clients receive them: tRPC's own shape, with the typed error under `data.verbatim`. */
import type {
  TRPCDefaultErrorShape,
  TRPC_ERROR_CODE_KEY,
  TRPC_ERROR_CODE_NUMBER,
  TRPCError,
  TRPCErrorShape,
} from '@trpc/server'
import { isVerbatimError } from '@verbatim/core'
import type { WireError } from '@verbatim/core'
import { verbatimErrorOf } from './to-wire-error.ts'

/** The data of every error of the router. */
export interface AppErrorData {
  readonly code: TRPC_ERROR_CODE_KEY
  readonly httpStatus: number
  readonly path?: string
  /** The typed error; `VerbatimError.fromWire` restores it. */
  readonly verbatim: WireError
  readonly [key: string]: unknown
}

/** An error of the router on the wire. */
export interface AppErrorShape extends TRPCErrorShape<AppErrorData> {
  message: string
  code: TRPC_ERROR_CODE_NUMBER
}

/** The router's `errorFormatter`. A team that mounts the router may use it for its own root too. */
export function toErrorShape({ error, shape }: { error: TRPCError; shape: TRPCDefaultErrorShape }): AppErrorShape {
  const known = verbatimErrorOf(error)
  const { code } = shape.data
  // Without a procedure the path is the caller's own text.
  const path = code === 'NOT_FOUND' && !isVerbatimError(error.cause) ? undefined : shape.data.path
  return {
    message: known.message,
    code: shape.code,
    data: { code, httpStatus: known.httpStatus, ...(path === undefined ? {} : { path }), verbatim: known.toWire() },
  }
}
