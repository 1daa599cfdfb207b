/**
 * The signatures of thinking: which model thought it, behind which conversation, and after which thought.
 * Source: "Preserved thinking", https://platform.claude.com/docs/en/build-with-claude/preserved-thinking.
 */
import { createHash, createHmac } from 'node:crypto'
import { isThinking, withoutCacheMarks } from './request.ts'
import type { ProviderBody, RequestBlock, RequestMessage } from './request.ts'

/** What a signature says. */
interface Binding {
  readonly model: string
  /** Of the system prompt, the tools, every message before, and what stands before the block in its own. */
  readonly prefix: string
  /** The signature of the thought before this one, over all turns; null for the first. */
  readonly before: string | null
}

export interface Transformation {
  readonly type: 'thinking_dropped'
  readonly path: string
  readonly reason: 'model_binding_mismatch' | 'prefix_binding_mismatch'
}

interface Verdict {
  readonly complaint: string | undefined
  readonly dropped: readonly Transformation[]
}

/** Signs thinking and knows its own signatures again, in this process or another. */
export interface Signer {
  /** A signature for a thought of the answer to `body`, with `before` in front of it. */
  sign(body: ProviderBody, before: readonly RequestBlock[]): string
  /** Takes a signature that a test wrote by hand for one of this provider's. */
  adopt(signature: string, body: ProviderBody, before: readonly RequestBlock[]): void
  verify(body: ProviderBody, mayDrop: boolean): Verdict
}

const key = 'the key of the fake provider'

export function createSigner(): Signer {
  const adopted = new Map<string, Binding[]>()
  return {
    sign: (body, before) => seal(bindingOf(body, before)),
    adopt(signature, body, before) {
      adopted.set(signature, [...(adopted.get(signature) ?? []), bindingOf(body, before)])
    },
    verify: (body, mayDrop) =>
      verify(body, { mayDrop, bindingsOf: (signature) => adopted.get(signature) ?? unseal(signature) }),
  }
}

function seal(binding: Binding): string {
  const text = Buffer.from(JSON.stringify(binding)).toString('base64url')
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`
}

function unseal(signature: string): Binding[] {
  const [text = ''] = signature.split('.')
  const isOurs = signature === `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`
  return isOurs ? [JSON.parse(Buffer.from(text, 'base64url').toString()) as Binding] : [] // as it was sealed
}

function bindingOf(body: ProviderBody, before: readonly RequestBlock[]): Binding {
  const thoughts = [...body.messages.flatMap(({ content }) => content), ...before].filter(isThinking)
  return { model: body.model, prefix: prefixOf(body, body.messages, before), before: signatureOf(thoughts.at(-1)) }
}

function prefixOf(body: ProviderBody, messages: readonly RequestMessage[], before: readonly RequestBlock[]): string {
  const spoken = messages.map(({ role, content }) => [role, essenceOf(content)])
  const all = [body['system'] ?? null, body['tools'] ?? [], spoken, essenceOf(before)]
  return createHash('sha256')
    .update(JSON.stringify(withoutCacheMarks(all)))
    .digest('base64url')
}

/** What the model read or said, whatever came with it in the stream. Thoughts are no part of a prefix. */
function essenceOf(blocks: readonly RequestBlock[]): unknown[] {
  return blocks.flatMap((block) => {
    if (isThinking(block)) return []
    const { type, text, id, name, input, tool_use_id, content, is_error } = block
    return [{ type, text, id, name, input, tool_use_id, content, is_error }]
  })
}

function signatureOf(block: RequestBlock | undefined): string | null {
  return block === undefined ? null : String(block['signature'] ?? block['data'])
}

interface Check {
  readonly mayDrop: boolean
  readonly bindingsOf: (signature: string) => readonly Binding[]
}

function verify(body: ProviderBody, { mayDrop, bindingsOf }: Check): Verdict {
  const dropped: Transformation[] = []
  let before: string | null = null
  let hasMismatch = false
  for (const [at, { content }] of body.messages.entries()) {
    for (const [index, block] of content.entries()) {
      if (!isThinking(block)) continue
      const path = `messages.${at}.content.${index}`
      const signature = signatureOf(block) ?? ''
      const bindings = bindingsOf(signature)
      const wrong = `${path}: Invalid \`signature\` in \`thinking\` block`
      if (bindings.length === 0) return { complaint: `${wrong}.`, dropped }
      if (bindings.every(({ model }) => model !== body.model)) {
        dropped.push({ type: 'thinking_dropped', path, reason: 'model_binding_mismatch' })
        continue
      }
      const prefix = prefixOf(body, body.messages.slice(0, at), content.slice(0, index))
      const previous = before
      // Thoughts may go from the front, so the first that is left may have had another one before it.
      const holds = bindings.some(
        (bound) => bound.prefix === prefix && (previous === null || bound.before === previous),
      )
      hasMismatch ||= !holds
      if (!hasMismatch) before = signature
      else if (mayDrop) dropped.push({ type: 'thinking_dropped', path, reason: 'prefix_binding_mismatch' })
      else return { complaint: `${wrong}. The block is bound to a different conversation.`, dropped }
    }
  }
  return { complaint: undefined, dropped }
}
