/** An agent's events under the three timeouts: a silent provider ends the run and does not hang it (P3). */
import { VerbatimError } from '../../contract/errors.ts'
import { blockOf } from '../../contract/event.ts'
import type { AgentEvent } from '../../contract/event.ts'
import type { AgentPing, RunTimeouts } from '../../ports/agent.ts'
import { createSurrogateJoin } from '../log/join-surrogates.ts'

/** Which wait the run is in. While tools run, only their own timeouts and the whole run's count. */
type Phase = 'first_token' | 'idle' | 'tools'

interface Listening {
  /** The signal that it receives aborts when a timeout passes or the run's signal aborts. A call of `isAlive` begins the wait anew. */
  readonly open: (signal: AbortSignal, isAlive: () => void) => AsyncIterable<AgentEvent | AgentPing>
  readonly timeouts: RunTimeouts
  readonly signal: AbortSignal
  /** Takes one event; the agent is pulled again when it is done. */
  readonly onEvent: (event: AgentEvent) => Promise<void>
}

/**
 * Calls `onEvent` with what the agent yields, without the signs of life and with whole characters, until the agent has said all.
 *
 * @throws VerbatimError `RUN_TIMEOUT` with `data.kind` `first_token`, `idle` or `total`; the signal's reason when it aborts; what
 * the agent or `onEvent` throws
 */
export async function awaitAgent({ open, timeouts, signal, onEvent }: Listening): Promise<void> {
  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  const silence = new Silence(timeouts, stop)
  const events = open(either, () => silence.refresh())[Symbol.asyncIterator]()
  const total = setTimeout(() => stop.abort(timeoutError('total', timeouts.totalMs)), timeouts.totalMs)
  try {
    await pullAll(events, { silence, signal: either, onEvent })
  } finally {
    clearTimeout(total)
    silence.close()
    stop.abort(new VerbatimError('RUN_FENCED', 'The run no longer listens to its agent'))
    // Not awaited: an agent that ignores its signal must not delay the run's end.
    events.return?.()?.then(undefined, () => {})
  }
}

interface Pulling extends Pick<Listening, 'signal' | 'onEvent'> {
  readonly silence: Silence
}

/**
 * An abort ends the wait for the agent at once, and the handling of an event when it is done. One listener for all events: a race
 * for each would cost more than the event.
 */
function pullAll(events: AsyncIterator<AgentEvent | AgentPing>, pulling: Pulling): Promise<void> {
  const { silence, signal } = pulling
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      if (silence.isWaiting) reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    void pull(events, pulling)
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', onAbort))
  })
}

async function pull(
  events: AsyncIterator<AgentEvent | AgentPing>,
  { silence, signal, onEvent }: Pulling,
): Promise<void> {
  const surrogates = createSurrogateJoin()
  const phases = createPhases()
  while (true) {
    signal.throwIfAborted()
    silence.begin(phases.current)
    const result = await events.next()
    // What an agent says after the abort counts for nothing.
    signal.throwIfAborted()
    silence.end()
    for (const event of result.done ? surrogates.rest() : surrogates.join(result.value)) {
      phases.after(event)
      await onEvent(event)
    }
    if (result.done) return
  }
}

/** The limit of the wait that goes on. One timer a run: it is set anew where the limit changes, and otherwise only put back. */
class Silence {
  readonly #timeouts: RunTimeouts
  readonly #stop: AbortController
  #isWaiting = false
  #phase: Phase = 'tools'
  #timer: NodeJS.Timeout | undefined

  constructor(timeouts: RunTimeouts, stop: AbortController) {
    this.#timeouts = timeouts
    this.#stop = stop
  }

  /** True while the run waits for its agent. */
  get isWaiting(): boolean {
    return this.#isWaiting
  }

  begin(phase: Phase): void {
    this.#isWaiting = true
    if (phase === this.#phase) return this.refresh()
    this.close()
    this.#phase = phase
    if (phase === 'tools') return
    const limitMs = phase === 'first_token' ? this.#timeouts.firstTokenMs : this.#timeouts.idleMs
    this.#timer = setTimeout(() => {
      // Not while an event is handled: a database that is slow is not the agent's silence.
      if (this.#isWaiting) this.#stop.abort(timeoutError(phase, limitMs))
    }, limitMs)
  }

  end(): void {
    this.#isWaiting = false
  }

  /** A sign of life. */
  refresh(): void {
    this.#timer?.refresh()
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
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
