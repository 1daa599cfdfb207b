/** The events of Anthropic's streaming protocol. */
export interface ProviderEvent {
  readonly type: string
  readonly [key: string]: unknown
}

/** An SSE frame as the provider writes it. */
export function frameOf(event: ProviderEvent): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
}

export interface UsageInput {
  readonly input?: number
  readonly output?: number
  readonly cacheRead?: number
  readonly cacheWrite?: number
}

/** The provider's `message_start`. */
export function callStart({ input = 10, cacheRead = 0, cacheWrite = 0 }: UsageInput = {}): ProviderEvent {
  const usage = {
    input_tokens: input,
    output_tokens: 1,
    cache_read_input_tokens: cacheRead,
    cache_creation_input_tokens: cacheWrite,
    cache_creation: { ephemeral_5m_input_tokens: cacheWrite, ephemeral_1h_input_tokens: 0 },
    service_tier: 'standard',
  }
  const nothingYet = { content: [], stop_reason: null, stop_sequence: null }
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'claude-sonnet-5-5', ...nothingYet, usage }
  return { type: 'message_start', message }
}

export function textStart(index = 0): ProviderEvent {
  return { type: 'content_block_start', index, content_block: { type: 'text', text: '', citations: null } }
}

export function textDelta(text: string, index = 0): ProviderEvent {
  return { type: 'content_block_delta', index, delta: { type: 'text_delta', text } }
}

export function blockStop(index = 0): ProviderEvent {
  return { type: 'content_block_stop', index }
}

/** The end of a model call, with its usage. */
export function callEnd(stopReason = 'end_turn', { output = 5 }: UsageInput = {}): ProviderEvent[] {
  const delta = { stop_reason: stopReason, stop_sequence: null, stop_details: null, container: null }
  const usage = { output_tokens: output, input_tokens: null, server_tool_use: null }
  return [{ type: 'message_delta', delta, usage }, { type: 'message_stop' }]
}

/** A text block that says `words`. */
export function textBlock(words: string | readonly string[], index = 0): ProviderEvent[] {
  return [textStart(index), ...[words].flat().map((word) => textDelta(word, index)), blockStop(index)]
}

export function thinkingBlock(index: number, thinking: string, signature: string): ProviderEvent[] {
  return [
    { type: 'content_block_start', index, content_block: { type: 'thinking', thinking: '', signature: '' } },
    { type: 'content_block_delta', index, delta: { type: 'thinking_delta', thinking } },
    { type: 'content_block_delta', index, delta: { type: 'signature_delta', signature } },
    blockStop(index),
  ]
}

/** The call of a tool. `json` is what the model writes, which may be no JSON at all; by default it is `input`. */
export function toolBlock(
  index: number,
  call: { id: string; name: string; input?: unknown; json?: string },
): ProviderEvent[] {
  const { id, name, input = {}, json = JSON.stringify(input) } = call
  const content_block = { type: 'tool_use', id, name, input: {}, caller: { type: 'direct' } }
  return [
    { type: 'content_block_start', index, content_block },
    { type: 'content_block_delta', index, delta: { type: 'input_json_delta', partial_json: json } },
    blockStop(index),
  ]
}

/** The call of a tool that the provider runs, its input in pieces as the model writes it. */
export function serverToolBlock(
  index: number,
  {
    type = 'server_tool_use',
    input = {},
    ...call
  }: { id: string; name: string; input?: unknown; type?: string; server_name?: string },
): ProviderEvent[] {
  const json = JSON.stringify(input)
  const half = Math.ceil(json.length / 2)
  const parts = [json.slice(0, half), json.slice(half)]
  return [
    { type: 'content_block_start', index, content_block: { type, ...call, input: {} } },
    ...parts.map((partial_json) => ({
      type: 'content_block_delta',
      index,
      delta: { type: 'input_json_delta', partial_json },
    })),
    blockStop(index),
  ]
}

/** A block that comes whole. */
export function wholeBlock(index: number, content_block: { readonly type: string }): ProviderEvent[] {
  return [{ type: 'content_block_start', index, content_block }, blockStop(index)]
}
