import type { MongoStorage } from '@verbatim/core/mongodb'
import type { CrashPoint } from './server-config.ts'

/** The calls that a run's own progress makes; periodic calls do not count, so that the nth call is always the same one. */
const counted = {
  runRepository: ['startRun', 'finishRun', 'renewLeases', 'releaseLeases', 'requestCancel'],
  sessionRepository: ['listMessages'],
  eventLog: ['append'],
} as const

type AnyCall = (...args: never[]) => unknown

/** The same storage, but its nth call ends the process as a power cut does. */
export function crashAt(storage: MongoStorage, point: CrashPoint | null): MongoStorage {
  if (point === null) return storage
  let calls = 0
  const wrap = (call: AnyCall): AnyCall => {
    return async (...args) => {
      const isLast = ++calls === point.call
      if (isLast && point.when === 'before') return await powerCut()
      const result = await call(...args)
      return isLast ? await powerCut() : result
    }
  }
  const wrapped = { ...storage } as Record<string, unknown>
  for (const [port, names] of Object.entries(counted)) {
    const calls_ = storage[port as keyof typeof counted] as unknown as Record<string, AnyCall>
    wrapped[port] = { ...calls_, ...Object.fromEntries(names.map((name) => [name, wrap(calls_[name] as AnyCall)])) }
  }
  return wrapped as unknown as MongoStorage
}

async function powerCut(): Promise<never> {
  process.kill(process.pid, 'SIGKILL')
  return await new Promise<never>(() => {})
}
