/** The replies that many tests need. */
import { callEnd, callStart, textBlock, textDelta, textStart } from './events.ts'
import type { ProviderReply } from './start-provider.ts'

/** A whole answer that says `words`. */
export function saying(...words: readonly string[]): ProviderReply {
  return (call) => {
    call.send(callStart(), ...textBlock(words), ...callEnd())
    call.end()
  }
}

/** The beginning of an answer, which the provider then holds. */
export function beginning(...words: readonly string[]): ProviderReply {
  return (call) => call.send(callStart(), textStart(), ...words.map((word) => textDelta(word)))
}
