/** An answer as the AI SDK's UI message stream, from any chunk on, over as many runs as it has. */
import { terminalOf } from '@verbatim/core'
import type { EventBatch, RunId } from '@verbatim/core'
import type { EndpointCall, EndpointStream } from '@verbatim/api'
import type { UIMessageChunk } from 'ai'
import { readChunks } from '../ui/read-chunks.ts'
import type { ReadChunksOptions } from '../ui/read-chunks.ts'

/** Which chunks a reader wants, and what it needs to know beside them. */
export interface AnswerStreamOptions extends ReadChunksOptions {
  readonly headers?: Readonly<Record<string, string>>
}

/** What the AI SDK calls the format; and the run, as its workflow transport names it. */
export const exposedHeaders = ['x-vercel-ai-ui-message-stream', 'x-workflow-run-id', 'x-workflow-stream-tail-index']

const done = 'data: [DONE]\n\n'

/** The answer that begins with `runId`. */
export function answerStream(
  { engine, owner }: EndpointCall,
  runId: RunId,
  { after = 0, headers = {}, ...files }: AnswerStreamOptions,
): EndpointStream {
  const follow = (id: RunId, signal: AbortSignal) => engine.runs.follow(owner, id, { signal })
  return {
    headers: {
      'x-vercel-ai-ui-message-stream': 'v1',
      'x-workflow-run-id': runId,
      'x-run-id': runId,
      ...headers,
    },
    items: (signal) =>
      toStream(
        readChunks(
          batchesOf(runId, (id) => follow(id, signal)),
          { after, ...files },
        ),
      ),
    lastWords: ({ message }) =>
      toFrames([
        { type: 'error', errorText: message },
        { type: 'finish', finishReason: 'error' },
      ]) + done,
  }
}

/** An answer without a chunk of its own, for a reader that takes no other sign of an end. */
export function emptyAnswerStream(): EndpointStream {
  const frames = toFrames([{ type: 'finish' }]) + done
  return {
    headers: { 'x-vercel-ai-ui-message-stream': 'v1' },
    async *items() {
      yield frames
    },
    lastWords: () => frames,
  }
}

/** The batches of all runs of an answer, in order. */
async function* batchesOf(
  first: RunId,
  follow: (runId: RunId) => AsyncIterable<EventBatch>,
): AsyncGenerator<EventBatch, void, void> {
  for (let runId: RunId | undefined = first; runId !== undefined;) {
    let next: RunId | undefined
    for await (const batch of follow(runId)) {
      yield batch
      const end = terminalOf(batch)
      if (end?.type === 'run_interrupted') next = end.continuedBy
    }
    runId = next
  }
}

async function* toStream(chunks: AsyncIterable<readonly UIMessageChunk[]>): AsyncGenerator<string, void, void> {
  for await (const fresh of chunks) yield toFrames(fresh)
  yield done
}

function toFrames(chunks: readonly UIMessageChunk[]): string {
  return chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join('')
}
