import { z } from 'zod'
import type { JsonValue } from '../../contract/json-value.ts'
import type { ToolResultContent } from '../../contract/content-block.ts'
import { VerbatimError } from '../../contract/errors.ts'
import type { Emit, RunScope } from '../../ports/agent.ts'
import { isResultBlocks } from './result-blocks.ts'
import type { ResultBlocks } from './result-blocks.ts'

/** What a tool receives beside its input: who asks, and with what. `input` is that of the run. */
export interface ToolContext extends RunScope {
  /** Aborts when the run is stopped and when the tool's time is over. */
  readonly signal: AbortSignal
  /** Streams the tool's progress while it runs, see {@link Emit}; it rejects once the tool has answered. */
  readonly emit: Emit
  /** The id that the model gave the call. Some models give none, or the same one twice. */
  readonly toolCallId: string
  /** The input of the call as the model wrote it, digit for digit. */
  readonly inputJson: string
}

/** Something the model may call. Made by {@link tool}. */
export interface Tool {
  readonly name: string
  readonly description: string
  /** JSON schema of the input, as the model is shown it. */
  readonly inputSchema: ToolInputSchema
  readonly idempotent: boolean
  /** Checks `input`, runs the tool and answers its output as text or blocks. @throws ZodError when `input` does not fit */
  execute(input: JsonValue, context: ToolContext): Promise<ToolResultContent>
}

/** A JSON schema of an object, which is what a model gives a tool. */
export interface ToolInputSchema {
  readonly type: 'object'
  readonly [key: string]: unknown
}

/** What a tool answers. */
export type ToolOutput = JsonValue | ResultBlocks

/** What {@link tool} makes a tool of. */
export interface ToolDefinition<TInput extends z.ZodType> {
  /** 1 to 64 letters, digits, `_` or `-`. */
  readonly name: string
  /** Tells the model what the tool does and when to use it. */
  readonly description: string
  /**
   * An object schema; what does not fit it never reaches `run`. An integer that JavaScript cannot hold arrives as the string of
   * its digits: take ids as `z.union([z.int(), z.string()])`. Fractions are rounded as JavaScript does.
   */
  readonly input: TInput
  /**
   * True when a call may be made again without harm, because it only reads, say. Otherwise a run that goes on from a lost one
   * does not make the same call once more whose outcome was lost. @default false
   */
  readonly idempotent?: boolean
  /**
   * Answers text or JSON for the model, 256 KiB of UTF-8 at most, or {@link resultBlocks} with images and documents, 4 MiB as JSON at most:
   * the model receives an error for more. Of what it throws the model receives the message only when it is a {@link ToolError} or a VerbatimError.
   */
  run(input: z.infer<TInput>, context: ToolContext): ToolOutput | Promise<ToolOutput>
}

const ToolName = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)
const ObjectSchema = z.looseObject({ type: z.literal('object') })

/**
 * A tool for an agent.
 *
 * @example
 * const weather = tool({
 *   name: 'get_weather',
 *   description: 'The weather of a city, now',
 *   input: z.object({ city: z.string() }),
 *   run: ({ city }, { signal }) => fetchWeather(city, signal),
 * })
 * @throws VerbatimError `INVALID_CONFIGURATION` when the name is malformed or the input is not a plain object schema
 */
export function tool<TInput extends z.ZodType>(definition: ToolDefinition<TInput>): Tool {
  const { name, description, idempotent = false, input: schema } = definition
  if (!ToolName.safeParse(name).success) {
    throw new VerbatimError('INVALID_CONFIGURATION', 'A tool name has 1 to 64 letters, digits, _ or -', {
      data: { field: 'name' },
    })
  }
  return Object.freeze({
    name,
    description,
    inputSchema: toInputSchema(name, schema),
    idempotent,
    async execute(input: JsonValue, context: ToolContext) {
      const output: unknown = await definition.run(await schema.parseAsync(input), context)
      if (isResultBlocks(output)) return [...output.blocks]
      // Nothing to say is an answer too: JSON has no word for undefined.
      return typeof output === 'string' ? output : (JSON.stringify(output) ?? '')
    },
  })
}

function toInputSchema(name: string, schema: z.ZodType): ToolInputSchema {
  try {
    const { $schema: _draft, ...json } = z.toJSONSchema(schema, { io: 'input' })
    return ObjectSchema.parse(json)
  } catch (error) {
    throw new VerbatimError('INVALID_CONFIGURATION', `The input of tool ${name} must be a z.object of JSON values`, {
      data: { field: 'input' },
      cause: error,
    })
  }
}
