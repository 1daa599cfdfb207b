/** Whether the Messages API would take a request, and what it counts for it. */
import type { IncomingHttpHeaders } from 'node:http'
import { withoutCacheMarks } from './request.ts'
import type { ProviderBody } from './request.ts'
import { rules } from './rules.ts'
import { createSigner } from './signatures.ts'
import { createSentBlocks } from './sent-blocks.ts'
import type { SentBlocks } from './sent-blocks.ts'
import type { Signer, Transformation } from './signatures.ts'

export interface ProviderOptions {
  /** False for a test whose requests are wrong on purpose. @default true */
  readonly isStrict?: boolean
  /** @default 1_000_000 */
  readonly contextTokens?: number
  /** @default 0.25 */
  readonly tokensPerByte?: number
}

export interface Judged {
  readonly body: ProviderBody
  readonly tokens: number
  readonly dropped: readonly Transformation[]
  readonly signer: Signer
  readonly sent: SentBlocks
  readonly complaint: string | undefined
}

/** With this header, an answer tells which thinking of the request was dropped. */
export const bindingBeta = 'thinking-binding-controls-2026-08-01'

export function createJudge({ isStrict = true, contextTokens = 1_000_000, tokensPerByte = 0.25 }: ProviderOptions) {
  const signer = createSigner()
  const sent = createSentBlocks()
  return (json: string, headers: IncomingHttpHeaders): Judged => {
    const body = JSON.parse(json) as ProviderBody // what the SDK sent
    const read = withoutCacheMarks([body['system'], body['tools'], body.messages])
    const tokens = Math.ceil(Buffer.byteLength(JSON.stringify(read, asRead)) * tokensPerByte)
    if (!isStrict) return { body, tokens, dropped: [], signer, sent, complaint: undefined }
    const betas = String(headers['anthropic-beta'] ?? '').split(/,\s*/)
    const request = { body, bytes: Buffer.byteLength(json), tokens, contextTokens, betas, sent }
    for (const rule of rules) {
      const found = rule.complaint(request)
      if (found !== undefined) return { body, tokens, dropped: [], signer, sent, complaint: found }
    }
    return { body, tokens, signer, sent, ...signer.verify(body, mayDrop(body, betas)) }
  }
}

/** An image counts by its size on a screen: as about 6 KB of text here, and so does a page of a PDF. */
function asRead(key: string, value: unknown): unknown {
  const isFile = key === 'data' && typeof value === 'string' && value.length > 8 * 1024
  return isFile ? 'x'.repeat(6 * 1024) : value
}

/** Whether the request asks to have wrong thinking dropped. */
function mayDrop(body: ProviderBody, betas: readonly string[]): boolean {
  const thinking = body['thinking'] as { block_binding?: { prefix_mismatch_behavior?: string } } | undefined
  const asks = thinking?.block_binding?.prefix_mismatch_behavior === 'drop_block'
  return asks && betas.includes(bindingBeta)
}
