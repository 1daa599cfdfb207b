/** An agent's events under the three timeouts: a silent provider ends the run and does not hang it (P3). */
import { raceSignal } from '../../async/race-signal.ts'
import { VerbatimError } from '../../contract/errors.ts'
import { blockOf } from '../../contract/event.ts'
import type { AgentEvent } from '../../contract/event.ts'
import type { AgentPing, RunTimeouts } from '../../ports/agent.ts'

/** Which wait the run is in. While tools run, only their own timeouts and the whole run's count. */
type Phase = 'first_token' | 'idle' | 'tools'

/**
 * Yields what `open(signal, isAlive)` yields, without the signs of life: each of them begins the wait anew, and so does a call of
 * `isAlive`. The signal that `open` receives
 * aborts when a timeout passes or `signal` aborts.
 *
 * @throws VerbatimError `RUN_TIMEOUT` with `data.kind` `first_token`, `idle` or `total`; the signal's reason when it aborts.
 */
export async function* awaitAgent(
  open: (signal: AbortSignal, isAlive: () => void) => AsyncIterable<AgentEvent | AgentPing>,
  timeouts: RunTimeouts,
  signal: AbortSignal,
): AsyncGenerator<AgentEvent, void, void> {
  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  const silence: Silence = { timer: undefined }
  const events = open(either, () => silence.timer?.refresh())[Symbol.asyncIterator]()
  const total = setTimeout(() => stop.abort(timeoutError('total', timeouts.totalMs)), timeouts.totalMs)
  const phases = createPhases()
  try {
    while (true) {
      const result = await nextWithin(events, { phase: phases.current, timeouts, silence, stop, signal: either })
      if (result.done) return
      if (result.value.type === 'ping') continue
      phases.after(result.value)
      yield result.value
    }
  } finally {
    clearTimeout(total)
    stop.abort(new VerbatimError('RUN_FENCED', 'The run no longer listens to its agent'))
    // Not awaited: an agent that ignores its signal must not delay the run's end.
    events.return?.()?.then(undefined, () => {})
  }
}

/** The timer of the wait that goes on. */
interface Silence {
  timer: NodeJS.Timeout | undefined
}

interface Wait {
  readonly silence: Silence
  readonly phase: Phase
  readonly timeouts: RunTimeouts
  readonly stop: AbortController
  readonly signal: AbortSignal
}

async function nextWithin(
  events: AsyncIterator<AgentEvent | AgentPing>,
  { phase, timeouts, silence, stop, signal }: Wait,
): Promise<IteratorResult<AgentEvent | AgentPing>> {
  if (phase === 'tools') return await raceSignal(events.next(), signal)
  const limitMs = phase === 'first_token' ? timeouts.firstTokenMs : timeouts.idleMs
  const timer = setTimeout(() => stop.abort(timeoutError(phase, limitMs)), limitMs)
  silence.timer = timer
  try {
    return await raceSignal(events.next(), signal)
  } finally {
    silence.timer = undefined
    clearTimeout(timer)
  }
}

/** Tells from the events of a run which wait comes next. */
function createPhases(): { current: Phase; after(event: AgentEvent): void } {
  let openTools = 0
  const phases = {
    current: 'first_token' as Phase,
    after(event: AgentEvent): void {
      if (blockOf(event)?.type === 'tool_use') openTools++
      if (event.type === 'tool_result') openTools--
      phases.current = phaseAfter(phases.current, event, openTools)
    },
  }
  return phases
}

function phaseAfter(phase: Phase, event: AgentEvent, openTools: number): Phase {
  switch (event.type) {
    case 'content_block':
    case 'content_block_start':
    case 'content_block_delta':
    case 'content_block_stop':
    case 'message_delta':
      return 'idle'
    case 'message_start':
      return 'first_token'
    case 'message_stop':
    case 'tool_result':
      return openTools > 0 ? 'tools' : 'first_token'
    case 'run_retrying':
    case 'data':
      return phase
  }
}

function timeoutError(kind: 'first_token' | 'idle' | 'total', timeoutMs: number): VerbatimError {
  return new VerbatimError('RUN_TIMEOUT', `The run waited ${timeoutMs} ms (${kind}) and gave up; start a new run`, {
    data: { kind, timeoutMs },
  })
}
