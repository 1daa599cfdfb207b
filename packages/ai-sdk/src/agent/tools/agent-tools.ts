/**
 * The tools of an agent. In: those of `tool()` and those of the AI SDK. Out: what the model is shown, which has nothing to execute, and
 * what the run executes once the call is stored.
 */
import { asSchema, jsonSchema, tool as aiTool } from 'ai'
import type { ModelMessage, ToolSet } from 'ai'
import { ToolError } from '@verbatim/core/claude'
import type { Tool } from '@verbatim/core/claude'
import type { ToolResultContent } from '@verbatim/core'
import { ZodError } from 'zod'
import { misconfigured } from '../agent-options.ts'
import type { Tools } from '../agent-options.ts'
import { toResultContent } from './tool-output.ts'

type AiTool = ToolSet[string]

export interface AgentTools {
  readonly count: number
  /** What the model may call. */
  readonly shown: readonly (readonly [name: string, tool: Tool | AiTool])[]
}

/** @throws VerbatimError `INVALID_CONFIGURATION` for tools of one name, and for one that the run could not execute */
export function readTools(tools: Tools): AgentTools {
  const entries = Array.isArray(tools)
    ? (tools as readonly Tool[]).map((one) => [isOwnTool(one) ? one.name : '', one] as const)
    : Object.entries(tools as Exclude<Tools, readonly Tool[]>)
  for (const [name, one] of entries) requireTool(name, one)
  if (new Set(entries.map(([name]) => name)).size !== entries.length) {
    throw misconfigured('tools', 'must have different names')
  }
  return { count: entries.length, shown: entries }
}

function requireTool(name: string, given: Tool | AiTool): void {
  if (isOwnTool(given)) {
    if (given.name !== name) throw misconfigured('tools', `names ${given.name} in another way: ${name}`)
    return
  }
  if (name === '')
    throw misconfigured('tools', 'is a list, which takes tools of tool(); give those of the AI SDK by name')
  if (typeof given !== 'object' || given === null || !('inputSchema' in given))
    throw misconfigured('tools', `has no tool in ${name}`)
  if (given.needsApproval !== undefined && given.needsApproval !== false) {
    throw misconfigured('tools', `has ${name}, which needs an approval; an agent has no one to ask`)
  }
  if (given.execute === undefined && !isProvidersTool(given)) {
    throw misconfigured('tools', `has ${name}, which has no execute; an agent runs its tools itself`)
  }
}

function isOwnTool(given: Tool | AiTool): given is Tool {
  return typeof given === 'object' && given !== null && 'idempotent' in given && 'name' in given
}

/** The provider runs it. */
function isProvidersTool(given: AiTool): boolean {
  return given.type === 'provider' && given.isProviderExecuted
}

/** What the model is shown, and what a request counts for it. */
export async function showTools({ shown }: AgentTools, context: object): Promise<{ set: ToolSet; json: string }> {
  const set: ToolSet = Object.fromEntries(shown.map(([name, given]) => [name, toShown(given, context)]))
  const described = Object.entries(set).map(async ([name, one]) => {
    return [name, one.description, await asSchema(one.inputSchema).jsonSchema]
  })
  return { set, json: JSON.stringify(await Promise.all(described)) }
}

/** Without what would run: the AI SDK runs a tool as soon as the model has called it, and the call is not stored yet. */
function toShown(given: Tool | AiTool, context: object): AiTool {
  if (isOwnTool(given)) {
    return aiTool({ description: given.description, inputSchema: jsonSchema(given.inputSchema) }) as AiTool // without an output
  }
  const {
    execute: _execute,
    needsApproval: _needsApproval,
    toModelOutput: _toModelOutput,
    onInputStart: _onInputStart,
    onInputDelta: _onInputDelta,
    onInputAvailable: _onInputAvailable,
    contextSchema: _contextSchema,
    description,
    ...shown
  } = given
  const text = typeof description === 'function' ? description({ context }) : description
  return { ...shown, ...(text === undefined ? {} : { description: text }) } as AiTool // the kind that it was
}

/** What the run executes. `messages` answers what the model was sent. */
export function toExecuted({ shown }: AgentTools, messages: () => readonly ModelMessage[]): Tool[] {
  return shown.flatMap(([name, given]) => {
    if (isOwnTool(given)) return [given]
    return isProvidersTool(given) ? [] : [fromAiTool(name, given, messages)]
  })
}

function fromAiTool(name: string, given: AiTool, messages: () => readonly ModelMessage[]): Tool {
  return {
    name,
    description: '',
    inputSchema: { type: 'object' },
    idempotent: given.metadata?.['idempotent'] === true,
    async execute(input, context) {
      const { signal, toolCallId, ...scope } = context
      const checked = await checkedBy(given.inputSchema, input)
      const known = given.contextSchema === undefined ? scope : await checkedBy(given.contextSchema, scope)
      const options = { toolCallId, messages: [...messages()], abortSignal: signal, context: known }
      const output = await lastOf(given.execute?.(checked, options))
      return await answerOf(given, { toolCallId, input: checked, output })
    },
  } satisfies Tool
}

/** @throws ZodError, or a ToolError for a schema that is none of Zod's, when `value` does not fit */
async function checkedBy(schema: AiTool['inputSchema'], value: unknown): Promise<unknown> {
  const checked = await asSchema(schema).validate?.(value)
  if (checked === undefined) return value
  if (checked.success) return checked.value
  const { error } = checked
  const cause = error instanceof ZodError ? error : error.cause
  throw cause instanceof ZodError ? cause : new ToolError('The input does not fit the tool')
}

/** A tool may answer in steps; the model receives the last one. */
async function lastOf(answer: unknown): Promise<unknown> {
  if (typeof answer !== 'object' || answer === null || !(Symbol.asyncIterator in answer)) return await answer
  let last: unknown
  for await (const output of answer as AsyncIterable<unknown>) last = output
  return last
}

interface Answered {
  readonly toolCallId: string
  readonly input: unknown
  readonly output: unknown
}

async function answerOf(given: AiTool, answered: Answered): Promise<ToolResultContent> {
  const { output } = answered
  if (given.toModelOutput !== undefined) return toResultContent(await given.toModelOutput(answered))
  return typeof output === 'string' ? output : (JSON.stringify(output) ?? '')
}
