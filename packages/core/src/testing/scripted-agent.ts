/**
 * An agent without a model, for tests: says what its script says, when the test lets it.
 * Nothing in it waits for time, so what a test sees does not depend on the machine.
 */
import type { AgentEvent } from '../contract/event.ts'
import type { AgentId } from '../contract/identifiers.ts'
import type { Agent, AgentRequest, RunTimeouts } from '../ports/agent.ts'
import { isGate } from './gate.ts'
import type { Gate } from './gate.ts'

/**
 * A step of a script: text to say, a raw event, a gate to wait at, or an error to throw.
 * Texts in a row (gates between them included) are one text block of one model call, framed as a model would.
 */
export type ScriptStep = string | AgentEvent | Gate | Error

/** What an agent does for one request. */
export type Script = Iterable<ScriptStep> | AsyncIterable<ScriptStep>

export interface ScriptedAgentOptions {
  /** @default "scripted" */
  readonly id?: AgentId
  /** What the answer says its model was. @default "scripted-model" */
  readonly model?: string
  readonly timeouts?: Partial<RunTimeouts>
  readonly maxHistoryMessages?: number
}

export interface ScriptedCall {
  readonly request: AgentRequest
  readonly signal: AbortSignal
}

export interface ScriptedAgent extends Agent {
  /** Every request so far, oldest first. */
  readonly calls: readonly ScriptedCall[]
}

/**
 * An agent that follows `script`, the same for each request, or made anew from the request.
 *
 * @example
 * const gate = createGate()
 * const agent = scriptedAgent(['Hel', gate, 'lo'])
 * // … start a run …
 * await gate.reached() // "Hel" was taken, "lo" was not asked for
 * gate.release()
 */
export function scriptedAgent(
  script: Script | ((request: AgentRequest) => Script),
  options: ScriptedAgentOptions = {},
): ScriptedAgent {
  const { id = 'scripted', model = 'scripted-model', ...waits } = options
  const calls: ScriptedCall[] = []
  return {
    id,
    ...waits,
    calls,
    stream(request, signal) {
      calls.push({ request, signal })
      return follow(typeof script === 'function' ? script(request) : script, model, signal)
    },
  }
}

async function* follow(script: Script, model: string, signal: AbortSignal): AsyncGenerator<AgentEvent, void, void> {
  let isSpeaking = false
  let words = 0
  for await (const step of script) {
    signal.throwIfAborted()
    if (step instanceof Error) throw step
    if (isGate(step)) {
      await step.pass(signal)
    } else if (typeof step === 'string') {
      if (!isSpeaking) yield* speechStart(model)
      isSpeaking = true
      words++
      yield { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: step } }
    } else {
      if (isSpeaking) yield* speechEnd(words)
      isSpeaking = false
      yield step
    }
  }
  signal.throwIfAborted()
  if (isSpeaking) yield* speechEnd(words)
}

function speechStart(model: string): AgentEvent[] {
  return [
    { type: 'message_start', message: { model, usage: { input_tokens: 1, output_tokens: 0 } } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
  ]
}

function speechEnd(outputTokens: number): AgentEvent[] {
  return [
    { type: 'content_block_stop', index: 0 },
    {
      type: 'message_delta',
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { output_tokens: outputTokens },
    },
    { type: 'message_stop' },
  ]
}
