/**
 * The agents of a server as a type, so that the compiler checks what its clients send and receive. In: the agents, by `typeof`. Out: their
 * ids, and of each the input that it takes, the output that it gives and the data that it emits. Nothing of it exists at run time.
 */
import type { z } from 'zod'
import type { DataPart } from './data-part.ts'
import type { RunEvent } from './event.ts'
import type { JsonValue } from './json-value.ts'
import type { Message } from './message.ts'
import type { SendOptions } from './run-handle.ts'

/** What {@link AgentsOf} reads of an agent: its id and its schemas. */
export interface AgentSchemas {
  readonly id: string
  readonly input?: z.ZodType | undefined
  readonly output?: z.ZodType | undefined
  readonly data?: { readonly [name: string]: z.ZodType } | undefined
}

/** What is known of one agent. */
export interface AgentTypes {
  /** `undefined` for an agent that takes none. */
  readonly input: unknown
  /** `never` for an agent that answers prose. */
  readonly output: unknown
  /** By name. */
  readonly data: object
  /** Whether it answers where a caller names none; `boolean` where that is not known. */
  readonly isDefault: boolean
}

/** Agents by their ids. */
export interface AgentMap {
  readonly [id: string]: AgentTypes
}

/** Data of any name. */
export interface AnyData {
  readonly [name: string]: JsonValue
}

/** The agents of a server of which nothing is known: any id, and JSON. */
export interface AnyAgents {
  readonly [id: string]: {
    readonly input: JsonValue | undefined
    readonly output: JsonValue
    readonly data: AnyData
    readonly isDefault: boolean
  }
}

/**
 * The agents of a server, for `createClient`, `createHooks` and `createAppRouter`. With `as const` the compiler knows which agent is the
 * first, which answers where a caller names none; otherwise it may be any.
 *
 * @example
 * export const agents = [claude(), claude({ id: 'report', output: Report })] as const // on the server
 * const verbatim = createClient<AgentsOf<typeof agents>>({ url }) // in the client, with `import type { agents }`
 */
export type AgentsOf<TAgents extends readonly AgentSchemas[]> = {
  readonly [TAgent in TAgents[number] as TAgent['id']]: {
    readonly input: TAgent extends { readonly input: infer TInput extends z.ZodType } ? z.input<TInput> : undefined
    readonly output: TAgent extends { readonly output: infer TOutput extends z.ZodType } ? z.output<TOutput> : never
    readonly data: TAgent extends { readonly data: infer TData extends { readonly [name: string]: z.ZodType } }
      ? { readonly [TName in keyof TData]: z.output<TData[TName]> }
      : AnyData
    readonly isDefault: TAgents extends readonly [infer TFirst, ...unknown[]]
      ? TFirst extends { readonly id: TAgent['id'] }
        ? true
        : false
      : boolean
  }
}

/** The ids of agents. */
export type AgentIdOf<TAgents extends AgentMap> = keyof TAgents & string

/** The id of the agent that answers where a caller names none; each that it may be, where that is not known. */
export type DefaultAgentId<TAgents extends AgentMap> = {
  [TId in AgentIdOf<TAgents>]: true extends TAgents[TId]['isDefault'] ? TId : never
}[AgentIdOf<TAgents>]

/** The field `input` of a call: required where the agent's schema asks for one. */
export type InputField<TInput> = undefined extends TInput
  ? { readonly input?: TInput | undefined }
  : { readonly input: TInput }

/** `TOptions` of a call to the agent `TId`: the id is checked, and so is what the agent takes. */
export type SendOptionsOf<TAgents extends AgentMap, TId extends AgentIdOf<TAgents>, TOptions = SendOptions> = Omit<
  TOptions,
  'agentId' | 'input'
> & {
  /** The agent that answers. @default the server's first */
  readonly agentId?: TId | undefined
} & InputField<TAgents[TId]['input']>

/** What comes after the prompt in `send`: options, which cannot be left out where the agent asks for an input. */
export type SendArguments<
  TAgents extends AgentMap,
  TId extends AgentIdOf<TAgents>,
  TOptions = SendOptions,
> = undefined extends TAgents[TId]['input']
  ? [options?: SendOptionsOf<TAgents, TId, TOptions>]
  : [options: SendOptionsOf<TAgents, TId, TOptions>]

/** The output of whichever agent answers. */
export type AnyOutput<TAgents extends AgentMap> = TAgents[AgentIdOf<TAgents>]['output']

/** Data that an agent has emitted: by its `name` the compiler knows what it holds. */
export type DataPartOf<TData extends object> = {
  readonly [TName in keyof TData & string]: {
    readonly name: TName
    readonly id: string | null
    readonly data: TData[TName]
  }
}[keyof TData & string]

/** The events of a run, with the data of its agent. */
export type RunEventOf<TData extends object> =
  | Exclude<RunEvent, { type: 'data' }>
  | {
      readonly [TName in keyof TData & string]: {
        type: 'data'
        name: TName
        data: TData[TName]
        id?: string | undefined
      }
    }[keyof TData & string]

/** The data of whichever agent answers. */
export type SomeData<TAgents extends AgentMap> = TAgents[AgentIdOf<TAgents>]['data']

/** A stored message: by its `agentId` the compiler knows what its `output` is. */
export type MessageOf<TAgents extends AgentMap> =
  string extends AgentIdOf<TAgents> ? Message : Omit<Message, 'agentId' | 'data' | 'output'> & AnswerFields<TAgents>

type AnswerFields<TAgents extends AgentMap> =
  | { readonly agentId: null; readonly data: readonly DataPart[]; readonly output: null }
  | {
      [TId in AgentIdOf<TAgents>]: {
        readonly agentId: TId
        readonly data: readonly DataPartOf<TAgents[TId]['data']>[]
        readonly output: TAgents[TId]['output'] | null
      }
    }[AgentIdOf<TAgents>]

/** An output while it is made: at each depth fields may be missing, and so may the last items of arrays. */
export type PartialOutput<TOutput> = TOutput extends readonly (infer TItem)[]
  ? PartialOutput<TItem>[]
  : TOutput extends object
    ? { [TKey in keyof TOutput]?: PartialOutput<TOutput[TKey]> }
    : TOutput
