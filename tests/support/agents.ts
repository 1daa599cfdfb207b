/** Agents for tests: real implementations of the port, whose pace and faults the test decides. */
import type { AgentEvent } from '@verbatim/core'
import type { Agent, AgentRequest } from '@verbatim/core/server'

/** The events of an answer of one model call that says `words`, one delta each. */
export function answerOf(words: readonly string[]): AgentEvent[] {
  return [
    messageStart(3),
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    ...words.map(textDelta),
    { type: 'content_block_stop', index: 0 },
    ...messageEnd('end_turn', words.length),
  ]
}

export function messageStart(inputTokens: number): AgentEvent {
  return { type: 'message_start', message: { model: 'scripted-1', usage: { input_tokens: inputTokens } } }
}

export function messageEnd(stopReason: string, outputTokens: number): AgentEvent[] {
  return [
    {
      type: 'message_delta',
      delta: { stop_reason: stopReason, stop_sequence: null },
      usage: { output_tokens: outputTokens },
    },
    { type: 'message_stop' },
  ]
}

export function textDelta(text: string): AgentEvent {
  return { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }
}

/** Yields `events`, each after a `pause`: by default one turn of the event loop, so that each may be a batch of its own. */
export function pacedAgent(
  events: readonly AgentEvent[],
  { id = 'paced', pause = turn, ...rest }: Partial<Agent> & { pause?: () => Promise<void> } = {},
): Agent {
  return {
    id,
    ...rest,
    async *stream() {
      for (const event of events) {
        await pause()
        yield event
      }
    },
  }
}

/** One turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** An agent that says what the test tells it to, when the test tells it to. Serves one run at a time. */
export interface ManualAgent extends Agent {
  /** The requests so far, in order. */
  readonly requests: AgentRequest[]
  /** Yields these next. The first call opens the message and its text block. */
  say(...words: string[]): void
  yieldNext(...events: AgentEvent[]): void
  /** Closes the text block and the message, then returns. */
  end(): void
  fail(error: unknown): void
  /** True after the engine has aborted the agent's signal. */
  readonly wasStopped: boolean
}

type Step = { readonly event: AgentEvent } | { readonly error: unknown } | 'end'

/** @param ignoresSignal a badly behaved agent: it goes on waiting when its signal aborts. */
export function manualAgent({
  id = 'hand',
  ignoresSignal = false,
  ...rest
}: Partial<Agent> & { ignoresSignal?: boolean } = {}): ManualAgent {
  const steps: Step[] = []
  const requests: AgentRequest[] = []
  let wake = () => {}
  let isOpen = false
  let wasStopped = false
  const push = (...more: Step[]) => {
    steps.push(...more)
    wake()
  }
  const open = () => {
    if (isOpen) return
    isOpen = true
    push(
      ...answerOf([])
        .slice(0, 2)
        .map((event) => ({ event })),
    )
  }
  async function* stream(request: AgentRequest, signal: AbortSignal): AsyncGenerator<AgentEvent> {
    requests.push(request)
    signal.addEventListener('abort', () => {
      wasStopped = true
      wake()
    })
    while (true) {
      const step = steps.shift()
      if (step === 'end') return
      if (step === undefined) await new Promise<void>((resolve) => (wake = resolve))
      else if ('error' in step) throw step.error
      else yield step.event
      if (!ignoresSignal) signal.throwIfAborted()
    }
  }
  return {
    id,
    ...rest,
    requests,
    stream,
    get wasStopped() {
      return wasStopped
    },
    yieldNext: (...events) => push(...events.map((event) => ({ event }))),
    say(...words) {
      open()
      push(...words.map((word) => ({ event: textDelta(word) })))
    },
    end() {
      open()
      isOpen = false
      push(
        ...answerOf([])
          .slice(2)
          .map((event) => ({ event })),
        'end',
      )
    },
    fail: (error) => push({ error }),
  }
}
