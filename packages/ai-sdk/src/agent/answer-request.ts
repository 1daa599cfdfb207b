/**
 * The agent's loop: calls the model, runs the tools it asks for, and calls it again until it has nothing more to ask. The engine stores the
 * end of each call before it pulls on, so no tool runs whose call is not stored.
 * In: a conversation that ends with a user message. Out: the events of every model call and every tool, in order.
 */
import type { ModelMessage } from 'ai'
import {
  createHistory,
  fingerprintOf,
  isBlank,
  openMedia,
  providerError,
  runTools,
  TooLongError,
} from '@verbatim/core/agent-kit'
import type { CallEnd, History, MediaLoader, TokenBudget, Turn } from '@verbatim/core/agent-kit'
import { isProviderBlock, isVerbatimError, VerbatimError } from '@verbatim/core'
import type { AgentEvent, ContentBlock } from '@verbatim/core'
import type { AgentPing, AgentRequest, AgentTrace } from '@verbatim/core/server'
import { withRun } from './agent-options.ts'
import type { AgentOptions, RunOptions } from './agent-options.ts'
import { showTools, toExecuted } from './tools/agent-tools.ts'
import type { AgentTools } from './tools/agent-tools.ts'
import { streamCall, toOutputForm } from './call/stream-call.ts'
import type { OutputForm } from './call/stream-call.ts'
import { resolveModel } from './call/tap-model.ts'
import { factsOf } from './trace-facts.ts'
import { toModelMessages } from './messages/to-model-messages.ts'
import type { MessageRules, SentMessages } from './messages/to-model-messages.ts'

export interface AgentParts {
  readonly budget: TokenBudget
  readonly tools: AgentTools
}

/** One run. */
interface RunningAgent {
  readonly options: RunOptions
  readonly budget: TokenBudget
  readonly shown: Awaited<ReturnType<typeof showTools>>
  readonly output: OutputForm | undefined
  readonly history: History
  readonly media: MediaLoader
  readonly fixedBytes: number
  readonly runId: string
  readonly trace: AgentTrace | undefined
  /** Who answers, and what stands before the conversation. What a provider refuses is left out from then on. */
  rules: Omit<MessageRules, 'media'>
  /** What the model was sent last. */
  sent: readonly ModelMessage[]
}

/** An answer that paused without a word for its provider goes on by a user message. */
const pausePrompt: Turn = { role: 'user', content: [{ type: 'text', text: 'Continue.' }] }
/** What a model without tools hears that calls one: a request without tools may have no results either. */
const noTools: Turn = { role: 'user', content: [{ type: 'text', text: 'There are no tools. Answer without them.' }] }

/** @throws VerbatimError `PROVIDER_ERROR`, `PROVIDER_REFUSED`, `INVALID_INPUT`, `MESSAGE_TOO_LARGE`; the signal's reason when it aborts */
export async function* answerRequest(
  given: AgentOptions & { readonly parts: AgentParts },
  request: AgentRequest,
  signal: AbortSignal,
): AsyncGenerator<AgentEvent | AgentPing, void, void> {
  const run = await openRun(given, request, signal)
  const { options, history } = run
  const { tools } = given.parts
  const runner = { ...options, tools: toExecuted(tools, () => run.sent) }
  // The rest of an answer may be nothing at all.
  let hasAnswered = (request.messages.at(-1)?.continuationOf ?? null) !== null
  for (let cycle = 1; cycle <= options.maxCycles; cycle++) {
    const { content, calls, stopReason } = yield* callModel(run, signal)
    hasAnswered ||= content.some(isVisible)
    history.add({ role: 'assistant', content: [...content] })
    if (stopReason === 'refusal') return
    if (calls.length > 0) {
      if (cycle === options.maxCycles) break // no call would read what the tools answer
      const results = yield* runTools(runner, calls, { request, signal })
      const answered = results.map(({ durationMs: _durationMs, ...block }) => block)
      history.add(tools.count > 0 ? { role: 'user', content: answered } : noTools)
    } else if (stopReason === 'pause_turn') {
      if (!isProvidersTurn(content)) history.add(pausePrompt)
    } else if (hasAnswered) return
    else throw providerError(stopReason === 'max_tokens' ? 'max_tokens' : 'empty')
  }
  throw providerError('max_cycles')
}

async function openRun(
  given: AgentOptions & { readonly parts: AgentParts },
  request: AgentRequest,
  signal: AbortSignal,
): Promise<RunningAgent> {
  const options = await withRun(given, request, signal)
  const { runId, sessionId, principal, session, input, emit, trace } = request
  const { budget, tools } = given.parts
  const shown = await showTools(tools, { runId, sessionId, principal, session, input, emit })
  const output = options.output && (await toOutputForm(options.output))
  const media = await openMedia(request, signal)
  const { provider, modelId } = resolveModel(options.model)
  const fixed = JSON.stringify([options.system ?? null, shown.json])
  const fixedBytes = Buffer.byteLength(fixed)
  const history = createHistory(
    { ...options, fixedBytes, compactionsOf: undefined, files: media.files },
    request,
    signal,
  )
  const rules = {
    provider,
    model: modelId,
    seed: fingerprintOf(fixed),
    keepsTools: tools.count > 0,
    keepsMetadata: true,
  }
  return { options, budget, shown, output, history, media, fixedBytes, runId, trace, rules, sent: [] }
}

/** One call of the model. A request that the provider finds too long is made once more, with less of the conversation. */
async function* callModel(
  run: RunningAgent,
  signal: AbortSignal,
): AsyncGenerator<AgentEvent | AgentPing, CallEnd, void> {
  const { options, budget, history, media, runId, shown, output } = run
  let tooLong: { readonly error: unknown; readonly weight: number } | undefined
  while (true) {
    const { turns } = await history.conversation(budget.maxBytes())
    const sources = await media.load(turns)
    const sent = toModelMessages(turns, { ...run.rules, media: { sources, files: media.files } })
    if (sent.messages.length === 0) {
      throw new VerbatimError('INVALID_INPUT', 'There is no user message to answer', { data: { field: 'message' } })
    }
    if (tooLong?.weight === sent.weight) throw tooLong.error // there is nothing to leave out
    run.sent = sent.messages
    const { provider, model } = run.rules
    const call = {
      messages: sent.messages,
      tools: shown.set,
      output,
      identity: { provider, model, boundTo: sent.boundTo },
      runId,
    }
    const progress = { hasBegun: false }
    try {
      const cycle = () => streamCall(options, call, { signal, progress })
      const end = yield* run.trace?.modelCall(factsOf(run, turns, signal), cycle) ?? cycle()
      budget.learn(sent.weight + run.fixedBytes, end.usage)
      return end
    } catch (error) {
      const isTooLong = error instanceof TooLongError
      const mayAskAgain = learnFrom(error, run, sent) && !progress.hasBegun
      if (!mayAskAgain || (isTooLong && tooLong !== undefined)) throw error
      if (isTooLong) tooLong = { error, weight: sent.weight }
    }
  }
}

/** What a provider may say of metadata that it does not take back: a signature that no longer holds, an item that is gone. */
const refusalsOfMetadata: ReadonlySet<string | undefined> = new Set(['invalid_request', 'thinking', 'not_found'])

/** Tells whether there is another way to ask, after what the provider refused. Each is there once. */
function learnFrom(error: unknown, run: RunningAgent, { weight, hasMetadata }: SentMessages): boolean {
  const { budget, fixedBytes, options, runId } = run
  if (error instanceof TooLongError) {
    budget.learnTooLong(weight + fixedBytes, error)
    options.logger.warn({ runId, bytes: weight + fixedBytes }, 'A request was too long for the provider')
    return true
  }
  if (!isVerbatimError(error) || !hasMetadata || !refusalsOfMetadata.has(error.data.kind)) return false
  run.rules = { ...run.rules, keepsMetadata: false }
  options.logger.warn(
    { runId },
    'The provider refused a request with metadata of its earlier answers; asking without it',
  )
  return true
}

/** Whether the provider goes on with an answer that paused: it ends with what the provider runs. */
function isProvidersTurn(content: readonly ContentBlock[]): boolean {
  const last = content.findLast(({ type }) => type !== 'thinking' && type !== 'model_metadata')
  return last !== undefined && isProviderBlock(last)
}

/** Thinking alone is no answer. */
function isVisible(block: ContentBlock): boolean {
  if (block.type === 'text') return !isBlank(block.text)
  return block.type === 'image' || block.type === 'document'
}
