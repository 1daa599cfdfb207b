import { z } from 'zod'
import { isBlank } from './blank.ts'
import { VerbatimError } from './errors.ts'

/** The largest prompt, in UTF-8 bytes. A request's body may be a little larger. */
export const maxPromptBytes = 512 * 1024

/** @throws VerbatimError `MESSAGE_TOO_LARGE` naming `field` when its `bytes` are over {@link maxPromptBytes} */
export function requirePromptSize(bytes: number, field: string): void {
  if (bytes <= maxPromptBytes) return
  throw new VerbatimError('MESSAGE_TOO_LARGE', `The ${field} is over ${maxPromptBytes} bytes; shorten it`, {
    data: { maxBytes: maxPromptBytes, field },
  })
}

/**
 * What a user says: well-formed Unicode text with at least one visible character.
 * A lone surrogate or a NUL would not come back from storage as it was sent, so both are refused.
 */
export const Prompt = z
  .string()
  .refine((text) => !isBlank(text), 'Must not be empty')
  .refine((text) => text.isWellFormed(), 'Must be well-formed Unicode (a lone surrogate was found)')
  .refine((text) => !text.includes('\0'), 'Must not contain a NUL character')
export type Prompt = z.infer<typeof Prompt>
