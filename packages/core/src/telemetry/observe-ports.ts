/** The ports of an engine with telemetry: what begins, writes and ends runs is reported, and a run is stored with its caller's trace. */
import type { ResolvedPorts } from '../ports/engine-ports.ts'
import type { EventLog } from '../ports/event-log.ts'
import type { RunRepository } from '../ports/run-repository.ts'
import type { Telemetry } from '../ports/telemetry.ts'

/** The same ports without telemetry. */
export function observePorts(ports: ResolvedPorts): ResolvedPorts {
  const { telemetry, runRepository, eventLog } = ports
  if (telemetry === undefined) return ports
  return {
    ...ports,
    runRepository: observeRuns(runRepository, telemetry),
    eventLog: observeLog(eventLog, telemetry),
  }
}

function observeRuns(repository: RunRepository, telemetry: Telemetry): RunRepository {
  return instead(repository, {
    startRun: (owner, run) => repository.startRun(owner, { ...run, ...callersTrace(telemetry) }),
    retryRun: (owner, run) => repository.retryRun(owner, { ...run, ...callersTrace(telemetry) }),
    finishRun: (owned, end, options) =>
      telemetry.endRun(owned, end.status, () => repository.finishRun(owned, end, options)),
    continueRun(owned, end, { next, signal }) {
      const { traceparent } = owned
      const linked = traceparent === undefined ? next : { ...next, traceparent }
      return telemetry.endRun(owned, end.status, () => repository.continueRun(owned, end, { next: linked, signal }))
    },
  })
}

function observeLog(log: EventLog, telemetry: Telemetry): EventLog {
  return instead(log, {
    append: (entries, options) => telemetry.commit(entries, () => log.append(entries, options)),
  })
}

function callersTrace(telemetry: Telemetry): { traceparent?: string } {
  const traceparent = telemetry.traceparent()
  return traceparent === undefined ? {} : { traceparent }
}

/** `port` with some of its methods replaced; it may be an object of any class. */
function instead<TPort extends object>(port: TPort, methods: Partial<TPort>): TPort {
  return new Proxy(port, {
    get(target, name) {
      const own: unknown = Object.hasOwn(methods, name) ? Reflect.get(methods, name) : Reflect.get(target, name)
      return typeof own === 'function' ? own.bind(target) : own
    },
  })
}
