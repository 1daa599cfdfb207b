import { isVerbatimError, VerbatimError } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { jsonResponse } from './exchange.ts'
import type { Exchange, HttpResponse } from './exchange.ts'

const readyTimeoutMs = 2_000

/** Says whether this process takes new calls. Probes at the same time share one check of the database. */
export function createReadiness(engine: Engine): (exchange: Exchange) => Promise<void> {
  let checking: Promise<HttpResponse> | undefined
  return async (exchange) => {
    checking ??= check(engine).finally(() => (checking = undefined))
    exchange.respond(await checking)
  }
}

async function check(engine: Engine): Promise<HttpResponse> {
  if (engine.draining.aborted) return notReady('The server is stopping')
  const signal = AbortSignal.timeout(readyTimeoutMs)
  try {
    await Promise.race([engine.ready(signal), rejectedBy(signal)])
    return jsonResponse(200, { status: 'ready', hints: engine.hints() })
  } catch (error) {
    // Every caller may ask, so the cause stays out of the response; the engine logs it.
    const isIncomplete = isVerbatimError(error) && error.code === 'UNSUPPORTED_DEPLOYMENT'
    return notReady(isIncomplete ? 'A required collection or index is missing' : 'The database does not answer')
  }
}

function notReady(message: string): HttpResponse {
  return jsonResponse(503, { status: 'unavailable', error: new VerbatimError('UNAVAILABLE', message).toWire() })
}

async function rejectedBy(signal: AbortSignal): Promise<never> {
  return await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
