/**
 * The signatures of thinking: which model thought it, behind which conversation, and after which thought. And those of summaries.
 * Source: "Preserved thinking", https://platform.claude.com/docs/en/build-with-claude/preserved-thinking.
 */
import { createHash, createHmac } from 'node:crypto'
import { compactionOf, isThinking, withoutCacheMarks } from './request.ts'
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

/** What the signature of a summary says: who wrote it, and of what. */
interface CompactionSeal {
  readonly content: string
  /** Of the system prompt and the tools. */
  readonly head: string
  /** Of the messages that it covers. */
  readonly chain: string
  readonly lastRole: string
}

/** Signs thinking and summaries, and knows its own signatures again, in this process or another. */
export interface Signer {
  /** A signature for a thought of the answer to `body`, with `before` in front of it. */
  sign(body: ProviderBody, before: readonly RequestBlock[]): string
  /** The summary `content` of all messages of `body`. */
  compact(body: ProviderBody, content: string): RequestBlock
  /** Takes a signature that a test wrote by hand for one of this provider's. */
  adopt(signature: string, body: ProviderBody, before: readonly RequestBlock[]): void
  verify(body: ProviderBody, mayDrop: boolean): Verdict
}

const key = 'the key of the fake provider'

export function createSigner(): Signer {
  const adopted = new Map<string, Binding[]>()
  return {
    sign: (body, before) => seal(bindingOf(body, before)),
    compact: (body, content) => ({ type: 'compaction', content, signature: seal(compactionSealOf(body, content)) }),
    adopt(signature, body, before) {
      adopted.set(signature, [...(adopted.get(signature) ?? []), bindingOf(body, before)])
    },
    verify: (body, mayDrop) =>
      complaintOfCompaction(body) ??
      verify(body, { mayDrop, bindingsOf: (signature) => adopted.get(signature) ?? unseal<Binding>(signature) }),
  }
}

function seal(binding: Binding | CompactionSeal): string {
  const text = Buffer.from(JSON.stringify(binding)).toString('base64url')
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`
}

function unseal<TSealed>(signature: string): TSealed[] {
  const [text = ''] = signature.split('.')
  const isOurs = signature === `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`
  return isOurs ? [JSON.parse(Buffer.from(text, 'base64url').toString()) as TSealed] : [] // as it was sealed
}

function bindingOf(request: ProviderBody, said: readonly RequestBlock[]): Binding {
  // An answer that goes on after a pause is one with what the request ends with.
  const last = request.messages.at(-1)
  const isPaused = last?.role === 'assistant'
  const body = isPaused ? { ...request, messages: request.messages.slice(0, -1) } : request
  const before = isPaused ? [...last.content, ...said] : said
  const thoughts = [...body.messages.flatMap(({ content }) => content), ...before].filter(isThinking)
  return { model: body.model, prefix: prefixOf(body, body.messages, before), before: signatureOf(thoughts.at(-1)) }
}

function prefixOf(body: ProviderBody, messages: readonly RequestMessage[], before: readonly RequestBlock[]): string {
  return hashOf([headOf(body), chainOf(body, messages), essenceOf(before)])
}

function headOf(body: ProviderBody): string {
  return hashOf([body['system'] ?? null, body['tools'] ?? []])
}

/** Of `messages`, which `body` begins with. A summary stands for the messages that it covers. */
function chainOf(body: ProviderBody, messages: readonly RequestMessage[]): string {
  const hasCompaction = compactionOf(body) !== undefined
  let chain = hasCompaction ? chainOfCompaction(body) : ''
  for (const [at, { role, content }] of messages.entries()) {
    const rest = hasCompaction && at === 0 ? content.slice(1) : content
    if (at > 0 || !hasCompaction || rest.length > 0) chain = hashOf([chain, role, essenceOf(rest)])
  }
  return chain
}

/** Source: "Compaction and preserved thinking", build-with-claude/compaction-thinking-blocks: conditions for kept thinking. */
function chainOfCompaction(body: ProviderBody): string {
  const block = compactionOf(body)
  const [sealed] = unseal<CompactionSeal>(String(block?.['signature']))
  const [first, second] = body.messages
  const keptRole = (first?.content.length ?? 0) > 1 ? first?.role : second?.role
  // The first kept message must have another role than the last one that was summarized, or it is merged into that.
  const holds = sealed?.head === headOf(body) && sealed.lastRole !== keptRole
  return holds ? sealed.chain : hashOf(['compaction', block?.['signature']])
}

function compactionSealOf(body: ProviderBody, content: string): CompactionSeal {
  const { messages } = body
  return { content, head: headOf(body), chain: chainOf(body, messages), lastRole: messages.at(-1)?.role ?? '' }
}

/** Source: "Compaction on demand": errors, compaction_signature_invalid and compaction_content_mismatch. */
function complaintOfCompaction(body: ProviderBody): Verdict | undefined {
  const block = compactionOf(body)
  if (block === undefined) return undefined
  const [sealed] = unseal<CompactionSeal>(String(block['signature']))
  const wrong = 'messages.0.content.0: the `compaction` block'
  if (sealed?.chain === undefined) return { complaint: `${wrong} has an invalid signature`, dropped: [] }
  const isSame = sealed.content === block['content']
  return isSame ? undefined : { complaint: `${wrong} is not as the API returned it`, dropped: [] }
}

function hashOf(value: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(withoutCacheMarks(value)))
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
