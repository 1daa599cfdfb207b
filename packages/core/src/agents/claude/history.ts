/**
 * What of a session goes to the model, for each call of one run.
 * In: the window of messages that the engine gives, and what this run has added. Out: turns that fit the token budget.
 */
import { raceSignal } from '../../async/race-signal.ts'
import { isBlank } from '../../contract/blank.ts'
import { VerbatimError } from '../../contract/errors.ts'
import type { Message } from '../../contract/message.ts'
import type { AgentRequest } from '../../ports/agent.ts'
import type { Turn } from './claude-message.ts'
import type { ClaudeOptions } from './claude-options.ts'
import { bytesOf, groupTurns, newestThatFit, withoutOldOutputs } from './fit-history.ts'
import type { TurnGroup } from './fit-history.ts'
import { providerError } from './map-provider-error.ts'

type HistoryOptions = Pick<ClaudeOptions, 'summarize' | 'system' | 'tools' | 'logger'>

export interface History {
  /** What this run added: the model's words and what its tools answered. */
  add(turn: Turn): void
  /**
   * The turns for the next call of the model.
   *
   * @throws VerbatimError `MESSAGE_TOO_LARGE` when the message to answer does not fit by itself, `PROVIDER_REFUSED` (too_large)
   * when what the run has said since does not
   */
  turns(maxBytes: number): Promise<Turn[]>
}

export function createHistory(options: HistoryOptions, request: AgentRequest, signal: AbortSignal): History {
  const { messages, hasOlder = false } = request
  const groups = groupTurns(hasOlder ? steadyWindow(messages) : messages)
  const added: Turn[] = []
  const summarize = createSummarizer(options, request, signal)
  const fixedBytes = fixedBytesOf(options)

  async function turns(maxBytes: number): Promise<Turn[]> {
    const room = maxBytes - fixedBytes
    const kept = newestThatFit(groups, room - bytesOf(added))
    const summary = await summarize(kept)
    const all = [...summary, ...kept.flatMap(({ messages }) => messages), ...added]
    const fitting = withoutOldOutputs(all, room)
    if (bytesOf(fitting) > room) throw tooLarge(groups, room)
    return fitting
  }

  return { add: (turn) => added.push(turn), turns }
}

/** What every request has besides its conversation. */
export function fixedBytesOf({ system, tools }: Pick<ClaudeOptions, 'system' | 'tools'>): number {
  return Buffer.byteLength(JSON.stringify([system, tools]))
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

function tooLarge(groups: readonly TurnGroup[], maxBytes: number): VerbatimError {
  const prompt = groups.at(-1)?.messages.filter(({ role }) => role === 'user') ?? []
  if (bytesOf(prompt) <= maxBytes) return providerError('too_large')
  const message = `The message is too large for the model, which takes about ${maxBytes} bytes; shorten or split it`
  return new VerbatimError('MESSAGE_TOO_LARGE', message, { data: { field: 'message', maxBytes } })
}
