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
