import type { z } from 'zod'
import { JsonValue } from './json-value.ts'
import { unstorableOf } from './content-input.ts'
import { VerbatimError } from './errors.ts'

/** The largest input of a run, in bytes of its JSON. It holds choices and ids; what is large is an attachment. */
export const maxRunInputBytes = 64 * 1024

/** What the agent receives beside the prompt: any JSON that fits the agent's own schema. */
export const RunInput = JsonValue.superRefine((input, context) => {
  const message = unstorableOf(input)
  if (message !== undefined) context.addIssue({ code: 'custom', message })
})
export type RunInput = z.infer<typeof RunInput>

/** The size of an input, 0 without one. */
export function bytesOfRunInput(input: RunInput | undefined): number {
  return input === undefined ? 0 : new TextEncoder().encode(JSON.stringify(input)).length
}

/** @throws VerbatimError `MESSAGE_TOO_LARGE` naming the field `input` */
export function requireRunInputSize(input: RunInput | undefined): void {
  if (bytesOfRunInput(input) <= maxRunInputBytes) return
  throw new VerbatimError('MESSAGE_TOO_LARGE', `The input is over ${maxRunInputBytes} bytes; shorten it`, {
    data: { maxBytes: maxRunInputBytes, field: 'input' },
  })
}
