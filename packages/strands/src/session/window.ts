/**
 * The messages that an agent holds, as a part of its state: places of stored messages, and whole only what is no stored message, such as
 * a summary. So the state stays small, and a message is in one place.
 */
import { isDeepStrictEqual } from 'node:util'
import { Message } from '@strands-agents/sdk'
import type { MessageData } from '@strands-agents/sdk'
import { MessageId } from '@verbatim/core'
import type { JsonValue, Message as StoredMessage, RunMetrics } from '@verbatim/core'
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { toStrandsBlocks } from '../content/to-strands.ts'

/** A message of the agent that is stored. */
export interface Placed {
  readonly seq: number
  readonly message: Message
}

const Json = z.record(z.string(), z.unknown())

const WindowEntry = z.union([
  /** Stored messages of the agent, from one seq to another. */
  z.strictObject({ from: z.int().positive(), to: z.int().positive() }),
  /** A stored message with what the agent has noted beside it. */
  z.strictObject({ seq: z.int().positive(), custom: Json }),
  /** A message that is not stored as it is here. */
  z.strictObject({ message: Json }),
])
export type WindowEntry = z.infer<typeof WindowEntry>

export const Window = z.array(WindowEntry)

/** @param placed the stored messages, by their tracking ids */
export function toWindow(messages: readonly Message[], placed: ReadonlyMap<string, Placed>): WindowEntry[] {
  const entries: WindowEntry[] = []
  for (const message of messages) {
    const stored = placed.get(message.trackingId)
    const last = entries.at(-1)
    if (stored === undefined || !isSame(stored.message, message)) entries.push({ message: toJson(message) })
    else if (message.metadata?.custom !== undefined) entries.push({ seq: stored.seq, custom: message.metadata.custom })
    else if (last !== undefined && 'to' in last && last.to + 1 === stored.seq) last.to = stored.seq
    else entries.push({ from: stored.seq, to: stored.seq })
  }
  return entries
}

function isSame(one: Message, other: Message): boolean {
  return one === other || isDeepStrictEqual(one.toJSON().content, other.toJSON().content)
}

function toJson(message: Message): Record<string, JsonValue> {
  return JSON.parse(JSON.stringify(message))
}

/** The lowest seq that the window names; undefined when it names none. */
export function firstSeqOf(entries: readonly WindowEntry[]): number | undefined {
  const seqs = entries.flatMap((entry) => ('from' in entry ? [entry.from] : 'seq' in entry ? [entry.seq] : []))
  return seqs.length === 0 ? undefined : Math.min(...seqs)
}

/** The messages of the window, in its order; those that are stored with their places. What retention has removed is left out. */
export async function fromWindow(
  entries: readonly WindowEntry[],
  stored: readonly StoredMessage[],
): Promise<(Placed | { readonly message: Message })[]> {
  const found: (Placed | { readonly message: Message })[] = []
  for (const entry of entries) {
    if ('message' in entry) {
      found.push({ message: Message.fromJSON(entry.message as unknown as MessageData) }) // written by toWindow
      continue
    }
    const { from, to } = 'from' in entry ? entry : { from: entry.seq, to: entry.seq }
    for (const one of stored) {
      if (one.seq < from || one.seq > to) continue
      const placed = await toPlaced(one)
      if ('custom' in entry) {
        const custom = entry.custom as Record<string, JsonValue> // written by toWindow
        placed.message.metadata = { ...placed.message.metadata, custom }
      }
      found.push(placed)
    }
  }
  return found
}

/** A stored message as the agent holds it: the same id, the tokens that it took. */
export async function toPlaced({ id, seq, role, content, metrics }: StoredMessage): Promise<Placed> {
  const blocks = await toStrandsBlocks(content, { read: () => Promise.resolve(undefined), keepsThinking: true })
  const metadata = metrics === null || metrics.cycles === 0 ? {} : { metadata: toMetadata(metrics) }
  return { seq, message: new Message({ role, content: blocks, trackingId: id, ...metadata }) }
}

function toMetadata(metrics: RunMetrics): NonNullable<Message['metadata']> {
  const { inputTokens, outputTokens, totalTokens, cacheReadInputTokens, cacheWriteInputTokens } = metrics
  const { latencyMs, timeToFirstTokenMs } = metrics
  const firstByte = timeToFirstTokenMs === null ? {} : { timeToFirstByteMs: timeToFirstTokenMs }
  return {
    usage: { inputTokens, outputTokens, totalTokens, cacheReadInputTokens, cacheWriteInputTokens },
    metrics: { latencyMs, ...firstByte },
  }
}

/** The id under which a message is stored: its own, or one that is made of it where it is no UUID. */
export function messageIdOf({ trackingId }: Pick<Message, 'trackingId'>): string {
  const own = MessageId.safeParse(trackingId)
  if (own.success) return own.data
  const hex = createHash('sha256').update(trackingId).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
