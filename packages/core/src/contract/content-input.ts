/** What a caller may append as a message's content. The check ends at the first wrong block, so that a wrong input costs no more than a right one. */
import { z } from 'zod'
import { ContentBlock } from './content-block.ts'
import { describeIssue } from './describe-issue.ts'
import { excessOfText } from './input-bounds.ts'
import { Prompt } from './prompt.ts'

/** Blocks of one appended message, and citations of one block. */
const maxContentBlocks = 1_000

type ContentInputValue = string | ContentBlock[]

/** The content of `messages.append`: text, or blocks whose JSON comes back from storage as it was sent. */
export const ContentInput = z
  .custom<ContentInputValue>()
  .superRefine((content, context) => {
    if (typeof content === 'string') return
    if (!Array.isArray(content) || content.length === 0 || content.length > maxContentBlocks) {
      context.addIssue({ code: 'custom', message: `Must be text, or 1 to ${maxContentBlocks} blocks` })
      return
    }
    for (const [index, block] of content.entries()) {
      const { field, reason } = faultOf(block)
      if (reason === undefined) continue
      context.addIssue({ code: 'custom', message: reason, path: field === '' ? [index] : [index, field] })
      return
    }
  })
  .pipe(z.union([Prompt, z.array(ContentBlock).min(1).max(maxContentBlocks)]))
export type ContentInput = z.infer<typeof ContentInput>

function faultOf(block: unknown): { readonly field: string; readonly reason: string | undefined } {
  if (hasManyCitations(block)) return { field: 'citations', reason: `Must be at most ${maxContentBlocks}` }
  const parsed = ContentBlock.safeParse(block)
  return parsed.success ? { field: '', reason: wrongOf(parsed.data) } : describeIssue(parsed.error.issues[0])
}

function hasManyCitations(block: unknown): boolean {
  if (typeof block !== 'object' || block === null || !('citations' in block)) return false
  return Array.isArray(block.citations) && block.citations.length > maxContentBlocks
}

/** Why a well-formed block cannot be stored or used; undefined when it can. */
function wrongOf(block: ContentBlock): string | undefined {
  const excess = block.type === 'tool_use' && block.inputJson !== undefined ? excessOfText(block.inputJson) : undefined
  return excess === undefined ? unstorableOf(block) : `The inputJson ${excess}`
}

/** Text and keys that storage would not give back unchanged, and the key that names a prototype. */
function unstorableOf(value: unknown): string | undefined {
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
