/**
 * Runs the tools that one model call asked for, all at once.
 * In: tool_use blocks. Out: a tool_result event for each, in their order, whatever the tool does; only the run's signal ends it.
 */
import { ZodError } from 'zod'
import { raceSignal } from '../../async/race-signal.ts'
import type { ToolResultContent, ToolUseBlock } from '../../contract/content-block.ts'
import { isVerbatimError, VerbatimError } from '../../contract/errors.ts'
import type { AgentEvent } from '../../contract/event.ts'
import { unknownOutcome } from '../../contract/interruption.ts'
import { toolInputOf } from '../../contract/tool-input.ts'
import type { AgentRequest, Emit } from '../../ports/agent.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Logger } from '../../ports/logger.ts'
import type { ToolCall } from './call-with-retries.ts'
import type { Tool } from './tool.ts'
import { isToolError } from './tool-error.ts'
import { isSameCall, mayHaveRun } from './unknown-calls.ts'

/** The largest output of a tool, in UTF-8 bytes; more of them must fit one message. */
const maxToolOutputBytes = 256 * 1024
/** The largest output in blocks, as JSON: an image or two. It is a part of the stored answer; what is larger is an attachment. */
const maxToolBlockBytes = 4 * 1024 * 1024
const maxIssuesTold = 5
const maxMessageLength = 500

export interface ToolRunner {
  readonly tools: readonly Tool[]
  readonly toolTimeoutMs: number
  readonly clock: Clock
  readonly logger: Logger
}

export type ToolResultEvent = Extract<AgentEvent, { type: 'tool_result' }>

/** Yields and returns the results of `calls`. @throws the signal's reason when it aborts, without waiting for the tools */
export async function* runTools(
  runner: ToolRunner,
  calls: readonly ToolCall[],
  { request, signal }: { request: AgentRequest; signal: AbortSignal },
): AsyncGenerator<ToolResultEvent, ToolResultEvent[], void> {
  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  const pending = calls.map((call, at) => {
    const isRepeated = calls.slice(0, at).some((earlier) => isRepeat(earlier.block, call.block))
    return runTool(runner, call, { request, signal: either, isRepeated })
  })
  const results: ToolResultEvent[] = []
  try {
    for (const one of pending) {
      const result = await raceSignal(one, signal)
      results.push(result)
      yield result
    }
    return results
  } finally {
    stop.abort()
  }
}

/** One call that the provider sent twice: its id is the same, and not for want of one. */
function isRepeat(earlier: ToolUseBlock, call: ToolUseBlock): boolean {
  return call.id !== '' && earlier.id === call.id && isSameCall(earlier, call)
}

interface Scope {
  readonly request: AgentRequest
  readonly signal: AbortSignal
  readonly isRepeated: boolean
}

/** Never rejects: the model receives what goes wrong. */
async function runTool(runner: ToolRunner, call: ToolCall, scope: Scope): Promise<ToolResultEvent> {
  const startedMs = runner.clock.monotonicMs()
  const output = await invokeTool(runner, call, scope)
  return {
    type: 'tool_result',
    tool_use_id: call.block.id,
    // Half of a surrogate pair would not come back from storage as it was sent.
    content: typeof output.content === 'string' ? output.content.toWellFormed() : output.content,
    is_error: output.isError,
    durationMs: Math.max(0, Math.round(runner.clock.monotonicMs() - startedMs)),
  }
}

interface ToolOutput {
  readonly content: ToolResultContent
  readonly isError: boolean
}

/** What the model hears when its call was cut or is no JSON. */
const notWhole =
  'The input of this call was not whole, so the tool did not run. Make the call again, with less input if it was long'

async function invokeTool(
  runner: ToolRunner,
  { block: call, isWhole }: ToolCall,
  { request, signal, isRepeated }: Scope,
): Promise<ToolOutput> {
  const found = runner.tools.find((candidate) => candidate.name === call.name)
  if (found === undefined) return failed('There is no tool of this name')
  if (!isWhole) {
    runner.logger.warn(
      { runId: request.runId, tool: found.name },
      'A tool did not run: the input of its call was not whole',
    )
    return failed(notWhole)
  }
  if (isRepeated) return failed('This call is the same as the one before it, with the same id; the tool ran once')
  if (!found.idempotent && mayHaveRun(call, request.messages)) return failed(unknownOutcome)
  const timeout = new AbortController()
  const tooLong = new DOMException('The tool did not answer in time', 'TimeoutError')
  const timer = setTimeout(() => timeout.abort(tooLong), runner.toolTimeoutMs)
  const either = AbortSignal.any([signal, timeout.signal])
  const { runId, sessionId, principal, session, input } = request
  const inputJson = call.inputJson ?? JSON.stringify(call.input)
  const progress = openProgress(request.emit, either)
  const { emit } = progress
  const toolCallId = call.id
  const context = { signal: either, runId, sessionId, principal, session, input, emit, toolCallId, inputJson }
  try {
    const toolInput = toolInputOf(call)
    const run = async () => await raceSignal(found.execute(toolInput, context), either)
    const facts = { name: found.name, id: call.id, description: found.description, input: toolInput, signal }
    const content = await (request.trace?.toolCall(facts, run) ?? run())
    const maxBytes = typeof content === 'string' ? maxToolOutputBytes : maxToolBlockBytes
    const text = typeof content === 'string' ? content : JSON.stringify(content)
    return Buffer.byteLength(text) > maxBytes
      ? failed(`The output of the tool is over ${maxBytes} bytes; ask it for less`)
      : { content, isError: false }
  } catch (error) {
    if (timeout.signal.aborted) return failed(`The tool did not answer within ${runner.toolTimeoutMs} ms`)
    if (!signal.aborted) {
      runner.logger.warn({ runId, tool: found.name, error: nameOf(error) }, 'A tool failed')
    }
    return failed(describeFailure(error))
  } finally {
    clearTimeout(timer)
    progress.close()
  }
}

/** The `emit` of one call: what a tool says after its answer, or after it was stopped, is refused. */
function openProgress(emit: Emit, signal: AbortSignal): { readonly emit: Emit; close(): void } {
  let isOver = false
  return {
    emit(...given) {
      if (!isOver && !signal.aborted) return emit(...given)
      const refused = Promise.reject(
        new VerbatimError('RUN_FENCED', 'The call of the tool is over; emit before it answers'),
      )
      refused.catch(() => {}) // a tool that does not wait for it must not take the process down
      return refused
    },
    close: () => void (isOver = true),
  }
}

function failed(content: string): ToolOutput {
  return { content, isError: true }
}

/** What the model (and the user) may know: an unexpected error's message might hold a secret. */
function describeFailure(error: unknown): string {
  if (error instanceof ZodError) return describeIssues(error)
  if (isToolError(error)) return error.message
  return isVerbatimError(error) ? error.message.slice(0, maxMessageLength) : 'The tool failed'
}

/** Paths and rules, never values, so that the model can correct its call. */
function describeIssues(error: ZodError): string {
  const issues = error.issues.slice(0, maxIssuesTold).map((issue) => `${issue.path.join('.')}: ${issue.message}`)
  return `The input does not fit the tool: ${issues.join('; ')}`.slice(0, maxMessageLength)
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error
}
