import type { AgentMap, AnyAgents, AnyOutput, JsonValue } from '@verbatim/core'
import { useMemo, useSyncExternalStore } from 'react'
import { initialRun, runStore } from '../stores/run-store.ts'
import type { RunSnapshot, RunStore } from '../stores/run-store.ts'
import { useVerbatim } from './provider.tsx'

/** What {@link useRun} gives: the run as it looks now, and the way to stop it. */
export type UseRunResult<TOutput = JsonValue> = RunSnapshot<TOutput> & Pick<RunStore, 'cancel'>

/**
 * A run, from its beginning to its end. All components with the same run share one connection; tabs share one only where the client is
 * made with `streams: shareStreams({ user })`, from `@verbatim/client/share`.
 */
export function useRun<TAgents extends AgentMap = AnyAgents>(runId: string): UseRunResult<AnyOutput<TAgents>> {
  const store = runStore(useVerbatim<TAgents>(), runId)
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, serverSnapshot)
  return useMemo(() => ({ ...snapshot, cancel: store.cancel }), [store, snapshot])
}

/** A server renders the run as not there yet; the browser follows it. */
function serverSnapshot(): RunSnapshot {
  return initialRun
}
