/**
 * Which turns of a session a model gets. Old turns leave whole and oldest first, and the newest turn stays: where it alone is too
 * much, the oldest outputs of its tools give way.
 */
import type { ContentBlock, ToolResultBlock } from '../../contract/content-block.ts'
import type { Message } from '../../contract/message.ts'
import type { Turn } from './claude-message.ts'
import { weightOf } from './media.ts'
import type { KnownFiles } from './media.ts'

/** What a person said, and all that came of it until the next person's word. */
export interface TurnGroup {
  readonly seq: number
  readonly messages: readonly Message[]
}

/** The turns of a conversation, oldest first. What stands before the first word of a user is of a turn that is no longer there. */
export function groupTurns(messages: readonly Message[]): TurnGroup[] {
  const groups: { seq: number; messages: Message[] }[] = []
  for (const message of messages) {
    const { role, seq, continuationOf } = message
    // The user message of a run that goes on from a lost one is the server's.
    const begins = role === 'user' && (continuationOf === null || groups.length === 0)
    if (begins) groups.push({ seq, messages: [message] })
    else groups.at(-1)?.messages.push(message)
  }
  return groups
}

/**
 * The newest turns that fit `maxBytes`, the last one in any case. A conversation whose start changes loses the model's thinking
 * and the provider's cache, so the start moves in steps: of the turns in the first quarter of what fits, it takes the one with
 * the roundest seq, which later conversations will find again.
 */
export function newestThatFit(groups: readonly TurnGroup[], maxBytes: number, files: KnownFiles): TurnGroup[] {
  let bytes = 0
  let first = groups.length
  while (first > 0) {
    bytes += bytesOf(groups[first - 1]?.messages ?? [], files)
    if (bytes > maxBytes && first < groups.length) break
    first--
  }
  if (first === 0) return [...groups]
  const candidates = groups.slice(first, first + Math.floor((groups.length - first) / 4) + 1)
  const roundest = Math.max(...candidates.map(({ seq }) => roundnessOf(seq)))
  const start = candidates.findIndex(({ seq }) => roundnessOf(seq) === roundest)
  return groups.slice(first + start)
}

/** All but the newest turns, of which `keptBytes` stay, and the last one in any case. */
export function olderThan(groups: readonly TurnGroup[], keptBytes: number, files: KnownFiles): TurnGroup[] {
  let bytes = 0
  const last = groups.findLastIndex(({ messages }) => (bytes += bytesOf(messages, files)) > keptBytes)
  return groups.slice(0, Math.max(0, Math.min(last + 1, groups.length - 1)))
}

export function messagesOf(groups: readonly TurnGroup[]): Message[] {
  return groups.flatMap(({ messages }) => messages)
}

export function bytesOfGroups(groups: readonly TurnGroup[], files: KnownFiles): number {
  return groups.reduce((sum, { messages }) => sum + bytesOf(messages, files), 0)
}

/** The largest power of two in `seq`, counted from the first prompt's seq, which is 1. */
function roundnessOf(seq: number): number {
  return (seq - 1) & -(seq - 1) || 1
}

/** What `turns` count against the budget of a request. */
export function bytesOf(turns: readonly Pick<Turn, 'content'>[], files: KnownFiles): number {
  return turns.reduce(
    (sum, { content }) => sum + 2 + content.reduce((all, block) => all + bytesOfBlock(block, files), 0),
    0,
  )
}

/** With a comma after it. The input of a call goes to the model in one spelling, and a file as what a model reads of it. */
function bytesOfBlock(block: ContentBlock, files: KnownFiles): number {
  switch (block.type) {
    case 'compaction':
      return 0
    case 'image':
    case 'document':
      return jsonBytes({ ...block, source: null }) + weightOf(block, files) + 1
    case 'tool_result':
      if (typeof block.content === 'string') return jsonBytes(block) + 1
      return jsonBytes({ ...block, content: null }) + bytesOf([{ content: block.content }], files)
    case 'tool_use':
    case 'server_tool_use':
    case 'mcp_tool_use':
      return jsonBytes(block.inputJson === undefined ? block : { ...block, input: null }) + 1
    default:
      return jsonBytes(block) + 1
  }
}

function jsonBytes(value: object): number {
  return Buffer.byteLength(JSON.stringify(value))
}

function bytesOfOutput({ content }: ToolResultBlock, files: KnownFiles): number {
  return typeof content === 'string' ? Buffer.byteLength(content) : bytesOf([{ content }], files)
}

/** Outputs shorter than this are not worth leaving out. */
const minOutputBytes = 1_024

/** `turns` with the oldest outputs of tools left out until the rest fits `maxBytes`, or until there is none left. */
export function withoutOldOutputs(turns: readonly Turn[], maxBytes: number, files: KnownFiles): Turn[] {
  let over = bytesOf(turns, files) - maxBytes
  return turns.map((turn) => {
    if (over <= 0) return turn
    const content = turn.content.map((block): ContentBlock => {
      const bytes = block.type === 'tool_result' ? bytesOfOutput(block, files) : 0
      if (over <= 0 || block.type !== 'tool_result' || bytes < minOutputBytes) return block
      const left = `This output of ${bytes} bytes no longer fits and was left out. Call the tool again for less of it`
      over -= bytes - Buffer.byteLength(left)
      return { ...block, content: left }
    })
    return { ...turn, content }
  })
}
