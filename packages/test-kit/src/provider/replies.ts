/** The replies that many tests need. */
import { callEnd, callStart, textBlock, textDelta, textStart } from './events.ts'
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

export function refusing(status: number, headers: Record<string, string> = {}): ProviderReply {
  return (call) => call.refuse(status, headers)
}
