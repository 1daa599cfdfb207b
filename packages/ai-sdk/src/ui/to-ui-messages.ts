/** Stored messages become the AI SDK's UI messages: for the first load of a page, and for servers that render it. */
import { withoutReplaced } from '@verbatim/core'
import type { ContentBlock, DataPart, Message, RunEvent } from '@verbatim/core'
import type { FileUIPart, TextUIPart, UIMessage, UIMessageChunk } from 'ai'
import { toFile } from './file-part.ts'
import type { FileOptions } from './file-part.ts'
import { foldChunks } from './fold-chunks.ts'
import type { VerbatimMetadata } from './metadata.ts'
import { AnswerChunks } from './to-chunks.ts'

type AnswerMessage = UIMessage<VerbatimMetadata>

/**
 * The UI messages of a session: what `useChat` shows of it, and what it makes of the same answers while they stream. Give it the
 * messages of one or more pages, in any order. Answers that a retry has replaced are left out; the parts of an answer that was continued
 * after a crash are one message.
 *
 * @example
 * const { items } = await engine.messages.list(owner, 'session-1', { order: 'newest', limit: 50 })
 * const messages = toUIMessages(items)
 */
export function toUIMessages(messages: readonly Message[], options: FileOptions = {}): UIMessage<VerbatimMetadata>[] {
  const shown: AnswerMessage[] = []
  let answer: Answer | undefined
  const endAnswer = () => {
    if (answer !== undefined) shown.push(toAnswerMessage(answer))
    answer = undefined
  }
  for (const message of withoutReplaced(messages.toSorted((one, other) => one.seq - other.seq))) {
    if (message.role === 'assistant') {
      if (answer === undefined || message.continuationOf === null) {
        endAnswer()
        answer = { first: message, last: message, data: new Map(), chunks: [], mapper: new AnswerChunks(options) }
      }
      addMessage(answer, message)
      continue
    }
    if (message.continuationOf !== null) continue // the server wrote it to ask for the rest
    if (answer !== undefined) addResults(answer, message.content)
    const parts = message.content.flatMap((block) => toUserPart(block, options))
    if (parts.length === 0) continue
    endAnswer()
    shown.push({ id: message.id, role: 'user', parts })
  }
  endAnswer()
  return shown
}

/** An answer whose messages are being read: the first one, and those that continue it. */
interface Answer {
  readonly first: Message
  /** The newest of each name and id. */
  readonly data: Map<string, DataPart>
  last: Message
  readonly chunks: UIMessageChunk[]
  readonly mapper: AnswerChunks
}

function addMessage(answer: Answer, message: Message): void {
  if (message !== answer.first) answer.chunks.push(...answer.mapper.endRun())
  answer.last = message
  for (const part of message.data) answer.data.set(JSON.stringify([part.name, part.id]), part)
  for (const event of eventsOf(message.content)) answer.chunks.push(...answer.mapper.add(event))
}

/** The events of a whole answer. A model call ends with the results of its tools. */
function* eventsOf(content: readonly ContentBlock[]): Generator<RunEvent, void, void> {
  let index = 0
  let isAnswered = true
  for (const block of content) {
    if (block.type === 'tool_result') {
      isAnswered = true
      yield { ...block, durationMs: 0 }
      continue
    }
    if (isAnswered) {
      yield { type: 'message_start', message: { model: '', usage: {} } }
      index = 0
    }
    isAnswered = false
    yield { type: 'content_block', index: index++, content_block: block }
  }
}

/** Results that a caller has appended as a message of the user, as the Messages API has them. */
function addResults({ chunks, mapper }: Answer, content: readonly ContentBlock[]): void {
  for (const block of content) {
    if (block.type === 'tool_result') chunks.push(...mapper.add({ ...block, durationMs: 0 }))
  }
}

function toAnswerMessage({ first, last, data, chunks, mapper }: Answer): AnswerMessage {
  const parts = foldChunks([...chunks, ...mapper.endRun(), ...mapper.endParts()])
  const output = last.output === null ? {} : { output: last.output }
  const { runId, agentId } = first
  return {
    id: first.id,
    role: 'assistant',
    metadata: { verbatim: { runId, agentId, status: last.status, metrics: last.metrics, ...output } },
    // Where the data came between the blocks is not stored; the newest of each is.
    parts: [...parts, ...[...data.values()].map(toDataPart)],
  }
}

function toDataPart({ name, id, data }: DataPart): AnswerMessage['parts'][number] {
  return { type: `data-${name}`, id: id ?? '', data }
}

function toUserPart(block: ContentBlock, options: FileOptions): (TextUIPart | FileUIPart)[] {
  if (block.type === 'text') return [{ type: 'text', text: block.text }]
  if (block.type !== 'image' && block.type !== 'document') return []
  const title = block.type === 'document' && block.title !== undefined ? { filename: block.title } : {}
  return [{ type: 'file', ...toFile(block, options), ...title }]
}
