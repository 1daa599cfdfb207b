/**
 * The provider's own summaries in a session, and what they are bound to. A summary stands in the answer of the run that asked for
 * it. In a request it comes first, in the place of the messages that it covers ("Compaction on demand" in Anthropic's
 * documentation).
 */
import type { CompactionBlock } from '../../contract/content-block.ts'
import type { Message } from '../../contract/message.ts'
import { fingerprintOf } from './fingerprint.ts'

/** The header that a request for a summary needs, and every request that carries one. */
export const compactionBeta = 'compact-2026-09-04'

/** Who asks. */
export interface Identity {
  /** The fingerprint of the provider's address: another provider does not take what this one signed. */
  readonly provider: string
  /** The fingerprint of the provider, the model, the system prompt and the tools. */
  readonly seed: string
}

/** What a summary is bound to: who asked for it, and the fingerprint of the messages that it covers. */
export function bindCompaction({ provider, seed }: Identity, chain: string): string {
  return [provider, seed, chain].join('.')
}

/**
 * The fingerprint with which a conversation goes on after `block`. Thinking after it was thought from the messages that it covers
 * and stays valid, but not where a summary was asked for with another model, system prompt or list of tools.
 */
export function chainAfter({ boundTo = '', sent }: CompactionBlock, { seed }: Identity): string {
  const [, by, chain = ''] = boundTo.split('.')
  return by === seed ? chain : fingerprintOf(JSON.stringify(sent))
}

/** The newest summary in `messages` that the provider takes back, and where it stands. */
export function newestCompaction(
  messages: readonly Message[],
  { provider }: Identity,
): { readonly block: CompactionBlock; readonly at: number } | undefined {
  for (let at = messages.length - 1; at >= 0; at--) {
    const { role, seq = 0, content = [] } = messages[at] ?? {}
    // A caller may have appended one that covers what comes after it.
    const block = content.findLast((one) => one.type === 'compaction' && one.coversSeq < seq)
    if (block?.type !== 'compaction') continue
    if (role === 'assistant' && block.boundTo?.startsWith(`${provider}.`) === true) return { block, at }
  }
  return undefined
}
