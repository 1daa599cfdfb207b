/**
 * The agent's loop: calls the model, runs the tools it asks for, and calls it again until it has nothing more to ask.
 * In: a conversation that ends with a user message. Out: the events of every model call and every tool, in order.
 */
import { isBlank } from '../../contract/blank.ts'
import type { ContentBlock } from '../../contract/content-block.ts'
import { isVerbatimError } from '../../contract/errors.ts'
import type { AgentEvent } from '../../contract/event.ts'
import { isProviderBlock } from '../../contract/provider-block.ts'
import type { AgentPing, AgentRequest } from '../../ports/agent.ts'
import type { AgentTrace } from '../../ports/telemetry.ts'
import type { Conversation, Turn } from './claude-message.ts'
import { wantsCompaction, withSystem } from './claude-options.ts'
import type { ClaudeClient, ClaudeOptions, RunOptions } from './claude-options.ts'
import { callWithRetries, toCallEnd } from './call-with-retries.ts'
import type { Attempt, CallEnd } from './call-with-retries.ts'
import { compactHistory } from './compact-history.ts'
import type { CompactionSwitch } from './compact-history.ts'
import { createHistory, fixedBytesOf } from './history.ts'
import type { History } from './history.ts'
import { providerError, TooLongError } from './map-provider-error.ts'
import { citesDocuments, openMedia } from './media.ts'
import type { MediaLoader } from './media.ts'
import { connectMcpServers } from './provider-tools.ts'
import type { McpServerParam } from './provider-tools.ts'
import { readEvents } from './read-frames.ts'
import { runTools } from './run-tools.ts'
import type { ToolResultEvent } from './run-tools.ts'
import { EventMapper } from './to-agent-event.ts'
import { hasTools, identityOf, pausePrompt, toClaudeRequest } from './to-claude-request.ts'
import type { ClaudeRequest, RequestRules } from './to-claude-request.ts'
import { factsOf } from './trace-facts.ts'
import type { TokenBudget } from './token-budget.ts'

/** What a model without tools hears that calls one: a request without tools may have no results either. */
const noTools: Turn = { role: 'user', content: [{ type: 'text', text: 'There are no tools. Answer without them.' }] }

/** An agent for one run: its system prompt is made. */
export interface ClaudeAgent extends RunOptions {
  readonly client: ClaudeClient
  readonly budget: TokenBudget
  readonly compactions: CompactionSwitch
}

/** @throws VerbatimError `PROVIDER_ERROR`, `PROVIDER_REFUSED`, `INVALID_INPUT`, `MESSAGE_TOO_LARGE`; the signal's reason when it aborts */
export async function* answerRequest(
  options: ClaudeOptions &
    Pick<ClaudeAgent, 'budget' | 'compactions'> & { readonly connect: () => Promise<ClaudeClient> },
  request: AgentRequest,
  signal: AbortSignal,
): AsyncGenerator<AgentEvent | AgentPing, void, void> {
  const client = await options.connect()
  const agent: ClaudeAgent = { ...(await withSystem(options, request, signal)), client }
  const compactionsOf = wantsCompaction(agent) ? identityOf(agent) : undefined
  const media = await openMedia(request, signal)
  const fixedBytes = fixedBytesOf(agent)
  const history = createHistory({ ...agent, fixedBytes, compactionsOf, files: media.files }, request, signal)
  const mcpServers = await connectMcpServers(agent.mcpServers, request, signal)
  const { runId, trace } = request
  const call: ModelCall = { agent, history, media, rules: firstRules(mcpServers), runId, trace }
  // The rest of an answer may be nothing at all.
  let hasAnswered = (request.messages.at(-1)?.continuationOf ?? null) !== null
  const toRules = async (old: Conversation) => await withMedia(call, old)
  yield* compactHistory(agent, { history, toRules, runId, trace }, signal)
  for (let cycle = 1; cycle <= agent.maxCycles; cycle++) {
    const { content, calls, stopReason, container } = yield* callModel(call, signal)
    call.rules.container = container ?? call.rules.container
    hasAnswered ||= content.some(isVisible)
    history.add({ role: 'assistant', content: [...content] })
    if (stopReason === 'refusal') return
    if (calls.length > 0) {
      if (cycle === agent.maxCycles) break // no call would read what the tools answer
      const results = yield* runTools(agent, calls, { request, signal })
      history.add(hasTools(agent) ? toResultTurn(results) : noTools)
    } else if (stopReason === 'pause_turn') {
      if (!isProvidersTurn(content)) history.add(pausePrompt)
    } else if (hasAnswered) return
    else throw providerError(stopReason === 'max_tokens' ? 'max_tokens' : 'empty')
  }
  throw providerError('max_cycles')
}

/** Whether the provider goes on with an answer that paused: it ends with what the provider runs. */
function isProvidersTurn(content: readonly ContentBlock[]): boolean {
  const last = content.findLast(({ type }) => type !== 'thinking' && type !== 'redacted_thinking')
  return last !== undefined && isProviderBlock(last)
}

interface ModelCall {
  readonly agent: ClaudeAgent
  readonly history: History
  readonly media: MediaLoader
  readonly rules: CallRules
  readonly runId: string
  readonly trace: AgentTrace | undefined
}

/** What a run learns from its calls. */
type CallRules = { -readonly [TName in keyof Omit<RequestRules, 'media'>]: RequestRules[TName] }

function firstRules(mcpServers: readonly McpServerParam[]): CallRules {
  return { keepsThinking: true, keepsExactInput: true, keepsProviderBlocks: true, mcpServers, container: undefined }
}

/** A conversation with what the API gets of its files. */
async function withMedia(
  { media, rules }: Pick<ModelCall, 'media' | 'rules'>,
  { turns }: Conversation,
): Promise<RequestRules> {
  const sources = await media.load(turns)
  return { ...rules, media: { sources, files: media.files, citesDocuments: citesDocuments(turns) } }
}

/** One call of the model. A request that the provider finds too long is made once more, with less of the conversation. */
async function* callModel(
  call: ModelCall,
  signal: AbortSignal,
): AsyncGenerator<AgentEvent | AgentPing, CycleEnd, void> {
  const { agent, history } = call
  let tooLong: { readonly error: unknown; readonly json: string } | undefined
  while (true) {
    const conversation = await history.conversation(agent.budget.maxBytes())
    const request = toClaudeRequest(agent, conversation, await withMedia(call, conversation))
    const { json, weight } = request
    if (tooLong?.json === json) throw tooLong.error // there is nothing to leave out
    const progress = { hasBegun: false }
    try {
      const cycle = () => streamCycle(agent, request, { signal, progress })
      const end = yield* call.trace?.modelCall(factsOf(request, signal), cycle) ?? cycle()
      agent.budget.learn(weight, end.usage)
      return end
    } catch (error) {
      const isTooLong = error instanceof TooLongError
      const mayAskAgain = learnFrom(error, call, request) && !progress.hasBegun
      if (!mayAskAgain || (isTooLong && tooLong !== undefined)) throw error
      if (isTooLong) tooLong = { error, json }
    }
  }
}

/** What a call of Claude came to. */
interface CycleEnd extends CallEnd {
  /** The container that the provider ran code in. */
  readonly container: string | undefined
}

/** @throws VerbatimError `PROVIDER_ERROR`, `PROVIDER_REFUSED` when the provider fails for good; the signal's reason when it aborts */
async function* streamCycle(
  agent: ClaudeAgent,
  request: ClaudeRequest,
  attempt: Attempt,
): AsyncGenerator<AgentEvent | AgentPing, CycleEnd, void> {
  let mapper = new EventMapper(agent.model)
  const open = () => {
    mapper = new EventMapper(agent.model)
    return readEvents(agent, request, { mapper, signal: attempt.signal })
  }
  const events = yield* callWithRetries(agent, open, attempt)
  return { ...toCallEnd(events, mapper.unstopped), container: mapper.container }
}

/** Tells whether there is another way to ask, after what the provider refused. Each is there once: in a call, or in a run. */
function learnFrom(
  error: unknown,
  { agent, history, rules, runId }: ModelCall,
  { weight, hasExactInput, hasProviderBlocks }: ClaudeRequest,
): boolean {
  const { budget, logger } = agent
  if (error instanceof TooLongError) {
    budget.learnTooLong(weight, error)
    logger.warn({ runId, bytes: weight }, 'A request was too long for the provider')
    return true
  }
  if (!isVerbatimError(error)) return false
  switch (error.data.kind) {
    case 'malformed':
      logger.warn({ runId, field: error.data.field }, 'The provider sent something that is not its protocol')
      return false
    case 'thinking':
      if (!rules.keepsThinking) return false
      rules.keepsThinking = false
      logger.warn({ runId }, 'The provider refused the thinking of an earlier answer; asking without it')
      return true
    case 'compaction':
      if (!history.dropCompaction()) return false
      logger.warn({ runId }, 'The provider refused its summary of the conversation; asking without it')
      return true
    case 'invalid_request':
      if (hasExactInput && rules.keepsExactInput) {
        rules.keepsExactInput = false
        logger.warn({ runId }, 'The provider refused the inputs of tools as the model wrote them; asking with strings')
        return true
      }
      if (!hasProviderBlocks || !rules.keepsProviderBlocks) return false
      rules.keepsProviderBlocks = false
      logger.warn({ runId }, 'The provider refused a request with blocks of a provider; asking without them')
      return true
    default:
      return false
  }
}

/** Thinking alone is no answer. */
function isVisible(block: ContentBlock): boolean {
  return block.type === 'text' && !isBlank(block.text)
}

function toResultTurn(results: readonly ToolResultEvent[]): Turn {
  return { role: 'user', content: results.map(({ durationMs: _durationMs, ...block }) => block) }
}
