import { isVerbatimError, VerbatimError } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { jsonAnswer } from './exchange.ts'
import type { Answer } from './exchange.ts'

const readyTimeoutMs = 2_000

/** The process answers, whatever else is the matter. */
export function liveAnswer(): Answer {
  return jsonAnswer(200, { status: 'live' })
}

/** Tells whether this process should be sent new calls. Callers at the same time share one look at the database. */
export function createReadiness(engine: Engine): () => Promise<Answer> {
  let looking: Promise<Answer> | undefined
  return async () => {
    looking ??= look(engine).finally(() => (looking = undefined))
    return await looking
  }
}

async function look(engine: Engine): Promise<Answer> {
  if (engine.draining.aborted) return notReady('The server is stopping')
  const signal = AbortSignal.timeout(readyTimeoutMs)
  try {
    await Promise.race([engine.ready(signal), rejectedBy(signal)])
    return jsonAnswer(200, { status: 'ready' })
  } catch (error) {
    // Anybody may ask, so the cause stays inside; the engine logs it.
    const isIncomplete = isVerbatimError(error) && error.code === 'UNSUPPORTED_DEPLOYMENT'
    return notReady(isIncomplete ? 'The database is not as the server needs it' : 'The database does not answer')
  }
}

function notReady(message: string): Answer {
  return jsonAnswer(503, { status: 'unavailable', error: new VerbatimError('UNAVAILABLE', message).toWire() })
}

async function rejectedBy(signal: AbortSignal): Promise<never> {
  return await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
