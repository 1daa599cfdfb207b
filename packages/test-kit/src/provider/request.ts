import type { SentBlocks } from './sent-blocks.ts'

/** A request to the Messages API, as far as the provider judges it. */
export interface RequestBlock {
  readonly type: string
  readonly [key: string]: unknown
}

export interface RequestMessage {
  readonly role: string
  readonly content: readonly RequestBlock[]
}

export interface ProviderBody {
  readonly model: string
  readonly messages: readonly RequestMessage[]
  readonly [key: string]: unknown
}

/** A request with what its rules need to know. */
export interface JudgedRequest {
  readonly body: ProviderBody
  readonly bytes: number
  /** What the model counts for the system prompt, the tools and the messages. */
  readonly tokens: number
  readonly contextTokens: number
  /** The values of the `anthropic-beta` header. */
  readonly betas: readonly string[]
  /** What this provider has made before. */
  readonly sent: SentBlocks
}

export interface Rule {
  readonly source: string
  /** What the API says to a request that breaks the rule. */
  complaint(request: JudgedRequest): string | undefined
}

/** `value` without the marks for the cache, which change nothing for the model. */
export function withoutCacheMarks(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (key, inner: unknown) => (key === 'cache_control' ? undefined : inner)) ?? 'null',
  )
}

export function isThinking({ type }: RequestBlock): boolean {
  return type === 'thinking' || type === 'redacted_thinking'
}

/** The summary that stands first in a conversation, in the place of the messages that it covers. */
export function compactionOf({ messages }: ProviderBody): RequestBlock | undefined {
  const first = messages[0]?.content[0]
  return first?.type === 'compaction' ? first : undefined
}
