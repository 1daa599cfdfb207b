import type { Agent as StrandsAgent, InvokeOptions } from '@strands-agents/sdk'
import { AgentId, VerbatimError } from '@verbatim/core'
import type { Agent, AgentRequest, DataSchemas, ScopeOf, TypedAgent } from '@verbatim/core/server'
import type { z } from 'zod'
import type { Intervention } from '../content/guardrail.ts'
import { openAgents } from './agent-slot.ts'
import type { StrandsFactory } from './agent-slot.ts'
import { answerRequest } from './answer-request.ts'

type Schema = z.ZodType | undefined

/** Options of {@link strands}: those of every agent of the engine, and how Strands works. */
export interface StrandsOptions<
  TId extends string = string,
  TInput extends Schema = undefined,
  TOutput extends Schema = undefined,
  TData extends DataSchemas | undefined = undefined,
> extends Omit<Agent, 'id' | 'input' | 'output' | 'data' | 'stream'> {
  /** The agent's name in sessions and runs. @default "strands" */
  readonly id?: TId | undefined
  /** What callers may give beside the prompt; a factory and tools receive it. @default nothing */
  readonly input?: TInput | undefined
  /** What the answer must be: Strands' structured output, checked by the engine. @default the answer is prose */
  readonly output?: TOutput | undefined
  /** What tools may emit, by name. An intervention of a guardrail is emitted as `guardrail`. @default any name, any JSON */
  readonly data?: TData | undefined
  /** Strands' own limits of one invocation. @default none but the engine's timeouts */
  readonly limits?: InvokeOptions['limits']
  /**
   * Called when a guardrail has intervened, before the answer ends. The run ends as refused when the guardrail has blocked, and later
   * prompts of the session do not show the turn to the model. The place to redact the stored prompt.
   */
  readonly onIntervention?: ((intervention: Intervention, request: AgentRequest) => void | Promise<void>) | undefined
}

/**
 * Runs a Strands agent as an agent of the engine: each piece of its answer, and each call of its tools, is stored before anything
 * follows from it.
 *
 * A factory makes an agent for each run, and as many run at a time. An agent that is given itself serves one run at a time, and every
 * run finds it as it was before its first. The history is the session's: the agent must have no `sessionManager`. Strands prints
 * answers by default: give the agent `printer: false`. Tools find the run with `runOf(context)`.
 *
 * @example
 * strands(({ principal }) => new Agent({ model, tools, printer: false, systemPrompt: `You help ${principal.userId}.` }))
 * @throws VerbatimError `INVALID_CONFIGURATION` for an id that is none, and for an agent with a `sessionManager`
 */
export function strands<
  const TId extends string = 'strands',
  TInput extends Schema = undefined,
  TOutput extends Schema = undefined,
  TData extends DataSchemas | undefined = undefined,
>(
  agent: StrandsAgent | StrandsFactory<ScopeOf<AgentRequest, TInput>>,
  options: StrandsOptions<TId, TInput, TOutput, TData> = {},
): TypedAgent<TId, TInput, TOutput, TData> {
  const { id = 'strands', input, output, data, limits, onIntervention, ...rest } = options
  if (!AgentId.safeParse(id).success) {
    throw new VerbatimError('INVALID_CONFIGURATION', 'strands: id: use 1 to 64 letters, digits or . _ -')
  }
  // The engine checks the input by the agent's schema.
  const take = openAgents(agent as StrandsAgent | StrandsFactory)
  return Object.freeze({
    ...rest,
    id: id as TId, // the default is the type's too
    input: input as TInput,
    output: output as TOutput,
    data: data as TData,
    stream: (request: AgentRequest, signal: AbortSignal) =>
      answerRequest({ take, output, limits, onIntervention }, request, signal),
  })
}
