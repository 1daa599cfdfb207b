/** A process that a test can crash: real to the last port, and from then on nothing of it reaches the database any more. */
import { VerbatimError } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { expireLeases, openEngine } from './engine.ts'
import type { EngineInput } from './engine.ts'

export interface CrashableEngine extends AsyncDisposable {
  readonly engine: Engine
  /** Cuts the process off for good, and lets its leases expire. */
  crash(): Promise<void>
}

export function openCrashableEngine(database: TestDatabase, input: EngineInput): CrashableEngine {
  const life: Life = { isLost: false, inFlight: new Set() }
  const engine = openEngine(database, {
    ...input,
    wrap(ports) {
      const wrapped = { ...ports, ...input.wrap?.(ports) }
      return {
        ...wrapped,
        sessionRepository: mortal(wrapped.sessionRepository, life),
        runRepository: mortal(wrapped.runRepository, life),
        deletionRepository: mortal(wrapped.deletionRepository, life),
        eventLog: mortal(wrapped.eventLog, life),
        usageLedger: mortal(wrapped.usageLedger ?? ports.usageLedger, life),
      }
    },
  })
  return {
    engine,
    async crash() {
      life.isLost = true
      // A heartbeat that is on its way would renew the lease again.
      await Promise.allSettled(life.inFlight)
      await expireLeases(database)
    },
    async [Symbol.asyncDispose]() {
      life.isLost = true
      await engine.close()
    },
  }
}

interface Life {
  isLost: boolean
  readonly inFlight: Set<Promise<unknown>>
}

function mortal<TPort extends object>(port: TPort, life: Life): TPort {
  return new Proxy(port, {
    get(target, name, receiver) {
      const method: unknown = Reflect.get(target, name, receiver)
      if (typeof method !== 'function' || name === 'keyOf') return method
      return async (...args: unknown[]) => {
        if (life.isLost) throw new VerbatimError('UNAVAILABLE', 'This process is lost')
        const answer = await settle(Promise.resolve<unknown>(method.apply(target, args)), life.inFlight)
        if (life.isLost) throw new VerbatimError('UNAVAILABLE', 'This process was lost before it heard the answer')
        return answer
      }
    },
  })
}

async function settle(call: Promise<unknown>, inFlight: Set<Promise<unknown>>): Promise<unknown> {
  inFlight.add(call)
  try {
    return await call
  } finally {
    inFlight.delete(call)
  }
}
