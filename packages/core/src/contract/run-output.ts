/** What a run's handle says of the output of an agent with an output schema. */
import type { JsonValue } from './json-value.ts'
import { VerbatimError } from './errors.ts'
import type { Message } from './message.ts'
import { partialOutputOf } from './output-text.ts'
import type { Answer } from './reduce-events.ts'

/** The output that is stored with `message`. @throws `error`, or VerbatimError `OUTPUT_INVALID` whose `data.kind` tells why there is none */
export function outputOfMessage({ output, status }: Message, error: VerbatimError | null): JsonValue {
  if (output !== null && output !== undefined) return output // an older server does not send it
  if (error !== null) throw error
  const kind = status === 'completed' ? 'none' : status
  const reason = status === 'completed' ? 'its agent has no output schema' : `it was ${status}`
  throw new VerbatimError('OUTPUT_INVALID', `The run has no output: ${reason}`, { data: { kind } })
}

/** An answer that grows while it is read. */
interface GrowingAnswer {
  readonly now: () => {
    readonly answer: Answer
    readonly isOver: boolean
    /** Why it is over without being whole. */
    readonly failure: { readonly error: unknown } | undefined
  }
  /** Resolves after the next change. */
  readonly changed: () => Promise<void>
}

/** Each state of the output that the reader finds when it asks; a slow reader sees fewer of them. The last one is the checked output. */
export async function* partialOutputs({ now, changed }: GrowingAnswer): AsyncGenerator<JsonValue, void, void> {
  let seen: string | undefined
  for (;;) {
    const { answer, isOver, failure } = now()
    const output = partialOutputOf(answer)
    const json = JSON.stringify(output)
    if (output !== undefined && json !== seen) yield output
    seen = json
    if (isOver && answer.output === null && failure !== undefined) throw failure.error
    if (isOver) return
    if (now().answer === answer && !now().isOver) await changed()
  }
}
