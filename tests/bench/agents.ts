/** The agents of the bench's servers. Each streams one block of text. */
import { textOf } from '@verbatim/core'
import type { AgentEvent } from '@verbatim/core'
import type { Agent, AgentRequest } from '@verbatim/core/server'
import { floodBytes, floodPieceBytes, paceTokens, tokensAtOnce, wallClockMs } from './workload.ts'
import type { StreamPlan } from './workload.ts'

/** Silence that is part of the measurement must not end the run. */
const patient = { firstTokenMs: 600_000, idleMs: 600_000, totalMs: 1_800_000 } as const

export const agents: readonly Agent[] = [
  { id: 'paced', stream: (request) => answer(paceTokens(planOf(request))) },
  { id: 'at-once', stream: (request) => answer(paceTokens({ ...planOf(request), beginAtMs: wallClockMs() })) },
  { id: 'continued', onCrash: 'continue', stream: (request) => answer(paceTokens(planOf(request))) },
  { id: 'silent', timeouts: patient, stream: (_request, signal) => answer(sayOnce(signal)) },
  { id: 'instant', stream: () => answer(sayAtOnce()) },
  { id: 'burst', stream: () => answer(tokensAtOnce()) },
  { id: 'flood', timeouts: patient, stream: (_request, signal) => answer(flood(signal)) },
]

async function* answer(texts: AsyncIterable<string>): AsyncGenerator<AgentEvent> {
  yield { type: 'message_start', message: { model: 'paced-1', usage: {} } }
  yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
  for await (const text of texts) {
    yield { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }
  }
  yield { type: 'content_block_stop', index: 0 }
  yield { type: 'message_stop' }
}

/** The plan is the first prompt: a run that goes on from a lost one is asked by the server. */
function planOf({ messages }: AgentRequest): StreamPlan {
  return JSON.parse(textOf(messages[0]?.content ?? [])) as StreamPlan // written by the bench
}

async function* sayAtOnce(): AsyncGenerator<string> {
  yield 'Well'
}

async function* sayOnce(signal: AbortSignal): AsyncGenerator<string> {
  yield 'Well'
  await aborted(signal)
}

/** As fast as it is taken, to the longest answer that may be, and then silence: the run goes on. */
async function* flood(signal: AbortSignal): AsyncGenerator<string> {
  const piece = 'x'.repeat(floodPieceBytes)
  for (let bytes = 0; bytes < floodBytes; bytes += floodPieceBytes) yield piece
  await aborted(signal)
}

async function aborted(signal: AbortSignal): Promise<void> {
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  signal.throwIfAborted()
}
