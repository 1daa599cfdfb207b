import type { InvocationState } from '@strands-agents/sdk'
import type { AgentRequest } from '@verbatim/core/server'

/** The run that a tool or a hook works for. */
export interface StrandsRun extends Pick<
  AgentRequest,
  'runId' | 'sessionId' | 'principal' | 'session' | 'input' | 'emit'
> {
  /** Aborts when the run is cancelled. */
  readonly signal: AbortSignal
}

const key = 'verbatim'

/** The state of an invocation that belongs to a run. */
export function stateOf(run: StrandsRun): InvocationState {
  return { [key]: run }
}

/**
 * The run of a tool's context or a hook's event: who asks, in which session, and `emit`.
 *
 * @example
 * tool({ name: 'orders', inputSchema, callback: (_input, context) => ordersOf(runOf(context).principal.userId) })
 * @throws Error outside a run of `strands()`
 */
export function runOf(context: { readonly invocationState: InvocationState } | undefined): StrandsRun {
  const run = context?.invocationState[key]
  if (run === undefined) throw new Error('runOf: this is not a run of strands()')
  return run as StrandsRun // put there by stateOf
}
