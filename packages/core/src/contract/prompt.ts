import { z } from 'zod'
import { isBlank } from './blank.ts'
import { VerbatimError } from './errors.ts'
import { DocumentBlock, ImageBlock } from './media-block.ts'

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

/** A block of a prompt. */
export const PromptBlock = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text'), text: Prompt }),
  ImageBlock,
  DocumentBlock,
])
export type PromptBlock = z.infer<typeof PromptBlock>

/** The blocks of a prompt: one of text where it is text. */
export function toPromptBlocks(prompt: string | readonly PromptBlock[]): readonly PromptBlock[] {
  return typeof prompt === 'string' ? [{ type: 'text', text: prompt }] : prompt
}

/** A prompt in one spelling: a text, and one block with that text, are the same prompt. */
export function toPlainPrompt(prompt: string | readonly PromptBlock[]): string | readonly PromptBlock[] {
  const [first, ...others] = toPromptBlocks(prompt)
  return first?.type === 'text' && others.length === 0 ? first.text : prompt
}

/** What a prompt counts against {@link maxPromptBytes}: the UTF-8 of its text, or of its blocks as JSON. */
export function bytesOfPrompt(prompt: string | readonly PromptBlock[]): number {
  const plain = toPlainPrompt(prompt)
  return new TextEncoder().encode(typeof plain === 'string' ? plain : JSON.stringify(plain)).length
}
