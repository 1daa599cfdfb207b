/** What a caller may send as a prompt or append as a message's content. The check ends at the first wrong block, so that a wrong input costs no more than a right one. */
import { z } from 'zod'
import { ContentBlock, OwnBlock, ToolResultPart } from './content-block.ts'
import { describeIssue } from './describe-issue.ts'
import { excessOfText } from './input-bounds.ts'
import { Prompt, PromptBlock } from './prompt.ts'
import { isProviderBlock, isTypedJson } from './provider-block.ts'

/** Blocks of one appended message, and citations of one block. */
const maxContentBlocks = 1_000

/** Blocks of one prompt. A provider takes about as many images in one request. */
const maxPromptBlocks = 100

/** What a caller sends as a prompt. */
export type PromptInput = string | readonly PromptBlock[]

/** A prompt: text, or blocks of text, images and documents. */
export const PromptInput = z
  .custom<PromptInput>()
  .superRefine((prompt, context) => {
    if (typeof prompt !== 'string')
      requireBlocks(prompt, { schemaOf: () => PromptBlock, max: maxPromptBlocks }, context)
  })
  .pipe(z.union([Prompt, z.array(PromptBlock).min(1).max(maxPromptBlocks).readonly()]))

/** What a caller appends as a message's content. */
export type ContentInput = string | readonly ContentBlock[]

/** The content of `messages.append`: text, or blocks whose JSON comes back from storage as it was sent. */
export const ContentInput = z
  .custom<ContentInput>()
  .superRefine((content, context) => {
    if (typeof content !== 'string') requireBlocks(content, { schemaOf, max: maxContentBlocks }, context)
  })
  .pipe(z.union([Prompt, z.array(ContentBlock).min(1).max(maxContentBlocks).readonly()]))

/** The schema whose issues say what is wrong with `block`. */
function schemaOf(block: unknown): z.ZodType<ContentBlock> {
  return isTypedJson(block) && isProviderBlock(block) ? ContentBlock : OwnBlock
}

interface BlockRules {
  readonly schemaOf: (block: unknown) => z.ZodType<ContentBlock>
  readonly max: number
}

/** Reports the first fault of `blocks`. */
function requireBlocks(blocks: unknown, { schemaOf: schemaFor, max }: BlockRules, context: z.RefinementCtx): void {
  if (!Array.isArray(blocks) || blocks.length === 0 || blocks.length > max) {
    context.addIssue({ code: 'custom', message: `Must be text, or 1 to ${max} blocks` })
    return
  }
  for (const [index, block] of blocks.entries()) {
    const { field, reason } = faultOf(block, schemaFor(block))
    if (reason === undefined) continue
    context.addIssue({ code: 'custom', message: reason, path: field === '' ? [index] : [index, field] })
    return
  }
}

function faultOf(
  block: unknown,
  schema: z.ZodType<ContentBlock>,
): { readonly field: string; readonly reason: string | undefined } {
  if (hasManyCitations(block)) return { field: 'citations', reason: `Must be at most ${maxContentBlocks}` }
  if (hasWrongParts(block)) return { field: 'content', reason: `Must be text, or at most ${maxContentBlocks} blocks` }
  const parsed = schema.safeParse(block)
  return parsed.success ? { field: '', reason: wrongOf(parsed.data) } : describeIssue(parsed.error.issues[0])
}

/** Of a tool's result. Its parts are tried one by one up to the first wrong one: the schema would name each of thousands. */
function hasWrongParts(block: unknown): boolean {
  if (typeof block !== 'object' || block === null || !('content' in block) || !Array.isArray(block.content))
    return false
  if (!('type' in block) || block.type !== 'tool_result') return false
  const parts: readonly unknown[] = block.content
  return parts.length > maxContentBlocks || parts.some((part) => !ToolResultPart.safeParse(part).success)
}

function hasManyCitations(block: unknown): boolean {
  if (typeof block !== 'object' || block === null || !('citations' in block)) return false
  return Array.isArray(block.citations) && block.citations.length > maxContentBlocks
}

/** Why a well-formed block cannot be stored or used; undefined when it can. */
function wrongOf(block: ContentBlock): string | undefined {
  const inputJson = 'inputJson' in block && typeof block.inputJson === 'string' ? block.inputJson : undefined
  const excess = inputJson === undefined ? undefined : excessOfText(inputJson)
  return excess === undefined ? unstorableOf(block) : `The inputJson ${excess}`
}

/** Text and keys that storage would not give back unchanged, and the key that names a prototype. @internal */
export function unstorableOf(value: unknown): string | undefined {
  if (typeof value === 'string') return unstorableText(value)
  if (typeof value !== 'object' || value === null) return undefined
  for (const [key, inner] of Object.entries(value)) {
    if (key === '__proto__') return 'Holds __proto__, which is not a key'
    const reason = unstorableText(key) ?? unstorableOf(inner)
    if (reason !== undefined) return reason
  }
  return undefined
}

function unstorableText(text: string): string | undefined {
  if (!text.isWellFormed()) return 'Holds a lone surrogate, so it is not Unicode text'
  return text.includes('\0') ? 'Holds a NUL character' : undefined
}
