/** A stored message against what the AI SDK's own client makes of the stream. */
import { emptyAnswer, reduceEvents } from '@verbatim/core'
import type { Message } from '@verbatim/core'
import { readUIMessageStream } from 'ai'
import type { UIMessage, UIMessageChunk } from 'ai'
import { describe, expect, it } from 'vitest'
import { recordedRuns } from '../testing/recorded-runs.ts'
import type { RecordedRun } from '../testing/recorded-runs.ts'
import { AnswerChunks } from './to-chunks.ts'
import { toUIMessages } from './to-ui-messages.ts'

describe.each(recordedRuns)('$title', ({ runs }) => {
  it('The stored answer is the message that the AI SDK has made of its stream', async () => {
    const streamed = withoutOrderOfData(await messageOfStream(runs))
    const [stored, ...others] = toUIMessages(storedMessages(runs))
    expect(others).toEqual([])
    expect(stored === undefined ? undefined : withoutOrderOfData(stored)).toEqual(streamed)
  })
})

async function messageOfStream(runs: RecordedRun['runs']): Promise<UIMessage> {
  const answer = new AnswerChunks()
  const chunks = runs.flat().flatMap((event) => answer.add(event))
  let last: UIMessage | undefined
  const stream = new ReadableStream<UIMessageChunk>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk)
      controller.close()
    },
  })
  for await (const message of readUIMessageStream({ stream, onError: () => {} })) last = message
  if (last === undefined) throw new Error('The stream made no message')
  return JSON.parse(JSON.stringify(last)) as UIMessage
}

/** The messages that the engine stores of these runs. */
function storedMessages(runs: RecordedRun['runs']): Message[] {
  return runs.map((events, at): Message => {
    const answer = reduceEvents(emptyAnswer, { firstSeq: 1, events: [...events] })
    const [started] = events
    if (started?.type !== 'run_started' || answer.status === 'queued' || answer.status === 'running') {
      throw new Error('A recorded run begins and ends')
    }
    const { sessionId, runId, agentId, messageId, startedAt } = started
    const { status, output, data, metrics, content } = answer
    const before = runs[at - 1]?.[0]
    return {
      id: messageId,
      sessionId,
      seq: at + 1,
      role: 'assistant',
      content: [...content],
      status,
      agentId,
      runId,
      continuationOf: before?.type === 'run_started' ? before.runId : null,
      retryOf: null,
      output,
      data: [...data],
      metrics,
      createdAt: startedAt,
    }
  })
}

/** The place of data between the blocks is not stored, nor is the error of a run with its message. */
function withoutOrderOfData(message: UIMessage): UIMessage {
  const isData = ({ type }: { type: string }) => type.startsWith('data-')
  const parts = [...message.parts.filter((part) => !isData(part)), ...message.parts.filter(isData)]
  const { error: _error, ...verbatim } = (message.metadata as { verbatim: Record<string, unknown> }).verbatim
  return JSON.parse(JSON.stringify({ ...message, parts, metadata: { verbatim } })) as UIMessage
}
