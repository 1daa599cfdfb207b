/** The output of an agent with an output schema: the answer's text as JSON that fits. In: a whole answer. Out: what is stored beside it. */
import type { z } from 'zod'
import { raceSignal } from '../../async/race-signal.ts'
import { isJson } from '../../contract/json-value.ts'
import type { JsonValue } from '../../contract/json-value.ts'
import { VerbatimError } from '../../contract/errors.ts'
import { outputTextOf } from '../../contract/output-text.ts'
import type { Answer } from '../../contract/reduce-events.ts'
import { placeOfIssue } from './place-of-issue.ts'

interface Whole {
  readonly answer: Answer
  readonly stopReason: string | null
  /** For the answer and its output together: both are in one document. */
  readonly maxAnswerBytes: number
  readonly signal: AbortSignal
}

/** @throws VerbatimError `OUTPUT_INVALID` (`data.kind`: `cut`, `json` or `schema`), `MESSAGE_TOO_LARGE`; the signal's reason when it aborts */
export async function checkOutput(schema: z.ZodType, whole: Whole): Promise<JsonValue> {
  const { answer, stopReason, maxAnswerBytes, signal } = whole
  const said = readJson(outputTextOf(answer), stopReason)
  const parsed = await raceSignal(schema.safeParseAsync(said), signal)
  if (!parsed.success) throw misfit(placeOfIssue(schema, parsed.error.issues[0]))
  const output: unknown = parsed.data
  if (output === null || !isJson(output)) throw new Error('The output schema of the agent answers what is no JSON')
  const bytes = Buffer.byteLength(JSON.stringify([output, answer.content]))
  if (bytes <= maxAnswerBytes) return output
  throw new VerbatimError('MESSAGE_TOO_LARGE', 'The answer and its output are over what one message can hold', {
    data: { maxBytes: maxAnswerBytes, field: 'output' },
  })
}

const cutReasons: ReadonlySet<string | null> = new Set(['max_tokens', 'model_context_window_exceeded'])

function readJson(text: string, stopReason: string | null): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's error would hold the text.
    const message = cutReasons.has(stopReason)
      ? 'The model used all its tokens before its output was whole; raise maxTokens or ask for less'
      : 'The answer is not the JSON that the agent asks for; its text is kept. Start a new run'
    throw new VerbatimError('OUTPUT_INVALID', message, { data: { kind: cutReasons.has(stopReason) ? 'cut' : 'json' } })
  }
}

/** Says where, and nothing of what the model wrote. */
function misfit(field: string): VerbatimError {
  const place = field === '' ? '' : ` at ${field}`
  const message = `The answer does not fit the agent's output schema${place}; its text is kept. Start a new run`
  return new VerbatimError('OUTPUT_INVALID', message, { data: { kind: 'schema', field } })
}
