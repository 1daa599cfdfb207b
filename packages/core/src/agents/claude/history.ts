/**
 * What of a session goes to the model, for each call of one run.
 * In: the window of messages that the engine gives, and what this run has added. Out: turns that fit the token budget.
 */
import { raceSignal } from '../../async/race-signal.ts'
import { isBlank } from '../../contract/blank.ts'
import { VerbatimError } from '../../contract/errors.ts'
import type { Message } from '../../contract/message.ts'
import type { AgentRequest } from '../../ports/agent.ts'
import type { CompactionBlock } from '../../contract/content-block.ts'
import type { Conversation, Turn } from './claude-message.ts'
import type { RunOptions } from './claude-options.ts'
import { newestCompaction } from './compaction.ts'
import type { Identity } from './compaction.ts'
import {
  bytesOf,
  bytesOfGroups,
  groupTurns,
  messagesOf,
  newestThatFit,
  olderThan,
  withoutOldOutputs,
} from './fit-history.ts'
import type { TurnGroup } from './fit-history.ts'
import { toOutputFormat } from './to-output-format.ts'
import { providerError } from './map-provider-error.ts'
import type { KnownFiles } from './media.ts'

interface HistoryOptions extends Pick<RunOptions, 'summarize' | 'logger'> {
  /** What every request has besides its conversation, in bytes. */
  readonly fixedBytes: number
  readonly files: KnownFiles
  /** Whose summaries are sent back; undefined for none. */
  readonly compactionsOf: Identity | undefined
}

type FixedOptions = Pick<RunOptions, 'system' | 'tools' | 'output' | 'serverTools' | 'mcpServers'>

/** A conversation that a summary shall take the place of. */
export interface Compactable extends Conversation {
  readonly coversSeq: number
}

export interface History {
  /** What this run added: the model's words and what its tools answered. After a pause, words of the model are part of those before. */
  add(turn: Turn): void
  /**
   * What the provider is asked to summarize before the first call: the older turns of a conversation that has come near to what a
   * request holds, or whose summary is about to leave the window. Undefined while there is no need.
   */
  toCompact(maxBytes: number): Compactable | undefined
  /** From now on, `block` takes the place of what it covers. */
  compact(block: CompactionBlock): void
  /** Goes on without the provider's summary; false when there is none. */
  dropCompaction(): boolean
  /**
   * The conversation for the next call of the model.
   *
   * @throws VerbatimError `MESSAGE_TOO_LARGE` when the message to answer does not fit by itself, `PROVIDER_REFUSED` (too_large)
   * when what the run has said since does not
   */
  conversation(maxBytes: number): Promise<Conversation>
}

/** Fuller than this, a conversation is summarized: the request for a summary must fit too. */
const fullPart = 0.8
/** What stays word for word then. */
const keptPart = 1 / 8

export function createHistory(options: HistoryOptions, request: AgentRequest, signal: AbortSignal): History {
  const { messages, hasOlder = false } = request
  const newest = options.compactionsOf && newestCompaction(messages, options.compactionsOf)
  const isLeaving = hasOlder && newest !== undefined && newest.at < messages.length / 4
  const added: Turn[] = []
  const summarize = createSummarizer(options, request, signal)
  const { files, fixedBytes } = options
  let compaction = newest?.block
  let groups = groupsAfter(compaction)

  function groupsAfter(block: CompactionBlock | undefined): TurnGroup[] {
    if (block !== undefined) return groupTurns(messages.filter(({ seq }) => seq > block.coversSeq))
    return groupTurns(hasOlder ? steadyWindow(messages) : messages)
  }

  function toCompact(maxBytes: number): Compactable | undefined {
    const room = maxBytes - fixedBytes - bytesOfCompaction(compaction)
    const isFull = bytesOfGroups(groups, files) > room * fullPart
    const older = isFull || isLeaving ? olderThan(groups, room * keptPart, files) : []
    const turns = withoutOldOutputs(messagesOf(newestThatFit(older, room, files)), room, files)
    const coversSeq = older.at(-1)?.messages.at(-1)?.seq
    return coversSeq === undefined || bytesOf(turns, files) > room ? undefined : { turns, compaction, coversSeq }
  }

  async function conversation(maxBytes: number): Promise<Conversation> {
    const room = maxBytes - fixedBytes - bytesOfCompaction(compaction)
    const kept = newestThatFit(groups, room - bytesOf(added, files), files)
    const summary = compaction === undefined ? await summarize(kept) : []
    const all = [...summary, ...messagesOf(kept), ...added]
    const turns = withoutOldOutputs(all, room, files)
    if (bytesOf(turns, files) > room) throw tooLarge(groups, room, files)
    return { turns, compaction, isPaused: added.at(-1)?.role === 'assistant' }
  }

  function use(block: CompactionBlock | undefined): void {
    compaction = block
    groups = groupsAfter(block)
  }

  return {
    add(turn) {
      const last = turn.role === 'assistant' && added.at(-1)?.role === 'assistant' ? added.pop() : undefined
      added.push(last === undefined ? turn : { ...turn, content: [...last.content, ...turn.content] })
    },
    toCompact,
    compact: use,
    dropCompaction() {
      const isThere = compaction !== undefined
      use(undefined)
      return isThere
    },
    conversation,
  }
}

function bytesOfCompaction(block: CompactionBlock | undefined): number {
  return block === undefined ? 0 : Buffer.byteLength(JSON.stringify(block.sent))
}

/** What every request has besides its conversation. */
export function fixedBytesOf({ system, tools, output, serverTools, mcpServers }: FixedOptions): number {
  return Buffer.byteLength(
    JSON.stringify([system, tools, output && toOutputFormat(output), ...serverTools, ...mcpServers]),
  )
}

/**
 * The window of a long session moves on with every turn, and a conversation whose start changes misses the provider's prompt
 * cache. So its start moves in steps of a quarter of the window: of four turns, three find the start of the one before.
 */
export function steadyWindow(messages: readonly Message[]): readonly Message[] {
  const oldestSeq = messages[0]?.seq ?? 0
  const step = Math.max(1, Math.floor(messages.length / 4))
  const startSeq = Math.ceil(oldestSeq / step) * step
  return messages.filter((message) => message.seq >= startSeq)
}

/** Asks the hook for what is left out, once for each set of turns. */
function createSummarizer({ summarize, logger }: HistoryOptions, request: AgentRequest, signal: AbortSignal) {
  const all = groupTurns(request.messages)
  const { sessionId, runId } = request
  /** A conversation without a summary is better than none. */
  async function textFor(left: readonly Message[]): Promise<string> {
    try {
      return (await raceSignal(Promise.resolve(summarize?.(left, { sessionId, runId, signal })), signal)) ?? ''
    } catch (error) {
      signal.throwIfAborted()
      logger.warn(
        { runId, error: error instanceof Error ? error.name : typeof error },
        'A conversation was not summarized',
      )
      return ''
    }
  }
  let known: { readonly startSeq: number; readonly turns: Turn[] } | undefined
  return async (kept: readonly TurnGroup[]): Promise<Turn[]> => {
    const startSeq = kept[0]?.seq ?? 0
    const left = all.filter(({ seq }) => seq < startSeq).flatMap(({ messages }) => messages)
    if (summarize === undefined || left.length === 0) return []
    if (known?.startSeq === startSeq) return known.turns
    const text = await textFor(left)
    known = { startSeq, turns: isBlank(text) ? [] : [{ role: 'user', content: [{ type: 'text', text }] }] }
    return known.turns
  }
}

function tooLarge(groups: readonly TurnGroup[], maxBytes: number, files: KnownFiles): VerbatimError {
  const prompt = groups.at(-1)?.messages.filter(({ role }) => role === 'user') ?? []
  if (bytesOf(prompt, files) <= maxBytes) return providerError('too_large')
  const message = `The message is too large for the model, which takes about ${maxBytes} bytes; shorten or split it`
  return new VerbatimError('MESSAGE_TOO_LARGE', message, { data: { field: 'message', maxBytes } })
}
