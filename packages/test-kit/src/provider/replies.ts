/** The replies that many tests need. */
import { blockStop, callEnd, callStart, textBlock, textDelta, textStart } from './events.ts'
import type { ProviderEvent } from './events.ts'
import type { ProviderReply } from './start-provider.ts'

/** A whole answer that says `words`. */
export function saying(...words: readonly string[]): ProviderReply {
  return streaming(callStart(), ...textBlock(words), ...callEnd())
}

/** The beginning of an answer, which the provider then holds. */
export function beginning(...words: readonly string[]): ProviderReply {
  return (call) => call.send(callStart(), textStart(), ...words.map((word) => textDelta(word)))
}

/** These events, and the end of the body. */
export function streaming(...events: readonly ProviderEvent[]): ProviderReply {
  return (call) => {
    call.send(...events)
    call.end()
  }
}

/** These events, then the provider cuts the connection. */
export function cuttingAfter(...events: readonly ProviderEvent[]): ProviderReply {
  return (call) => {
    call.send(...events)
    call.cut()
  }
}

/** A summary of all that the request holds, as the answer to a request for one. */
export function compacting(content: string): ProviderReply {
  return (call) => {
    const usage = { input_tokens: 0, output_tokens: 0 }
    const iterations = [{ type: 'compaction', input_tokens: call.tokens, output_tokens: Math.ceil(content.length / 4) }]
    const [delta, ...rest] = callEnd('compaction')
    call.send(callStart({ input: 0 }))
    call.write('event: ping\ndata: {"type": "ping"}\n\n')
    call.send({ type: 'content_block_start', index: 0, content_block: call.compact(content) }, blockStop())
    call.send({ type: 'message_delta', ...delta, usage: { ...usage, iterations } }, ...rest)
    call.end()
  }
}

export function refusing(status: number, headers: Record<string, string> = {}): ProviderReply {
  return (call) => call.refuse(status, headers)
}
