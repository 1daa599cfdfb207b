/**
 * Calls of tools that the provider runs, and their results, paired as the API wants them. A call whose result was lost with its process
 * is left out, and so is a result whose call has left. A call may go without a result in one case: the provider is still to run it, after
 * a pause or after the results of the caller's tools ("Server tools": pause_turn, mixed turns).
 */
import type { ClaudeBlock, DraftBlock, DraftMessage } from './claude-message.ts'

/** @param isAnswered false for a conversation that no answer follows: nothing in it goes on */
export function pairServerTools(messages: readonly DraftMessage[], isAnswered: boolean): DraftMessage[] {
  const goesOnAfter = isAnswered ? messages.findLastIndex(isWordOfUser) : messages.length
  const kept = keptBlocks(messages, goesOnAfter)
  return messages.map(({ role, blocks }) => ({ role, blocks: withoutUnpaired(blocks, kept) }))
}

/** Blocks of the pairs, and of the calls that the provider is still to run. */
function keptBlocks(messages: readonly DraftMessage[], goesOnAfter: number): ReadonlySet<DraftBlock> {
  const kept = new Set<DraftBlock>()
  const open = new Map<string, { readonly block: DraftBlock; readonly at: number }>()
  for (const [at, { blocks }] of messages.entries()) {
    for (const block of blocks) {
      const call = callIdOf(block.param)
      const answered = answeredIdOf(block.param)
      if (call !== undefined) open.set(call, { block, at })
      const asked = answered === undefined ? undefined : open.get(answered)
      if (answered === undefined || asked === undefined) continue
      open.delete(answered)
      kept.add(asked.block).add(block)
    }
  }
  for (const { block, at } of open.values()) if (at > goesOnAfter) kept.add(block)
  return kept
}

function withoutUnpaired(blocks: readonly DraftBlock[], kept: ReadonlySet<DraftBlock>): DraftBlock[] {
  let isExact = true
  return blocks.flatMap((block) => {
    const isPart = callIdOf(block.param) !== undefined || answeredIdOf(block.param) !== undefined
    if (isPart && !kept.has(block)) {
      isExact = false
      return []
    }
    return [isExact ? block : { ...block, isExact }]
  })
}

/** A user message that says more than what tools answered ends the provider's turn. */
function isWordOfUser({ role, blocks }: DraftMessage): boolean {
  return role === 'user' && blocks.some(({ param }) => param.type !== 'tool_result')
}

/** The id of a call that the provider answers, known or of a later version. */
function callIdOf(param: ClaudeBlock): string | undefined {
  const isCall = param.type !== 'tool_use' && param.type.endsWith('_tool_use')
  return isCall && 'id' in param && typeof param.id === 'string' ? param.id : undefined
}

function answeredIdOf(param: ClaudeBlock): string | undefined {
  if (param.type === 'tool_result' || !('tool_use_id' in param)) return undefined
  return typeof param.tool_use_id === 'string' ? param.tool_use_id : undefined
}
