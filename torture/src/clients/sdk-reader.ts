/** The real client as one more reader: what its handle yields goes into a history as well. */
import { createClient } from '@verbatim/client'
import type { RunHandle, VerbatimClient } from '@verbatim/client'
import { isVerbatimError } from '@verbatim/core'
import type { Message } from '@verbatim/core'
import { History, ViolationError } from './history.ts'
import type { Endpoint, StartInput } from './raw-calls.ts'

export interface SdkHistory {
  readonly reader: string
  /** One for each run that it followed: the first one and its continuations. */
  readonly parts: readonly History[]
  /** What `run.text` yielded, over all parts. */
  readonly text: string
  /** What `run.message` resolved to: the message of the last part; undefined when the run failed. */
  readonly message: Message | undefined
  /** The code with which the handle gave up. */
  readonly refusedWith: string | undefined
}

export function openClient({ port }: Endpoint): VerbatimClient {
  return createClient({
    url: `http://127.0.0.1:${port}`,
    idleTimeoutMs: 1_500,
    retry: { baseDelayMs: 30, maxDelayMs: 400, maxCallAttempts: 60 },
  })
}

/** Sends a prompt and reads its answer to the end. Never rejects. */
export async function sendAndRead(
  client: VerbatimClient,
  input: StartInput,
  { signal, onStarted }: { signal: AbortSignal; onStarted: () => void },
): Promise<SdkHistory> {
  const { sessionId, runId, message, agentId, whenBusy } = input
  const given = input.input && { ...input.input }
  const handle = client.chat(sessionId).send(message, { runId, agentId, whenBusy, input: given, signal })
  handle.started.then(onStarted, () => {}) // the handle's iterators throw a refusal as well
  return await readHandle(handle, 'sdk-sender')
}

/** Follows a run that another client started. Never rejects. */
export async function followBySdk(client: VerbatimClient, runId: string, signal: AbortSignal): Promise<SdkHistory> {
  return await readHandle(client.runs.follow(runId, { signal }), 'sdk-follower')
}

async function readHandle(handle: RunHandle, reader: string): Promise<SdkHistory> {
  const first = new History(handle.id, reader)
  const parts = [first]
  const [refusedWith, text, message] = await Promise.all([
    readBatches(handle, parts),
    readText(handle),
    handle.message.catch(() => undefined),
  ])
  const last = parts.at(-1) ?? first
  if (refusedWith === undefined) last.end = 'terminal'
  else if (refusedWith === 'RUN_NOT_FOUND') last.end = 'not_found'
  await handle[Symbol.asyncDispose]()
  return { reader, parts, text, message, refusedWith }
}

/** Adds batches to the last of `parts`, or to a new one when the handle goes on with a continuation. */
async function readBatches(handle: RunHandle, parts: History[]): Promise<string | undefined> {
  try {
    for await (const batch of handle.batches) partFor(parts, batch).add(batch)
    const last = parts.at(-1)
    if (last?.hasEnded !== true) last?.violate('the handle ended before the terminal event')
    return undefined
  } catch (error) {
    if (error instanceof ViolationError) return 'violated'
    return isVerbatimError(error) ? error.code : String(error)
  }
}

function partFor(parts: History[], { runId }: { runId: string }): History {
  const last = parts.at(-1)
  if (last?.runId === runId) return last
  if (last?.hasEnded === true) last.end = 'terminal'
  else last?.violate(`the handle went on with ${runId} before the end`)
  const next = new History(runId, last?.reader ?? '')
  parts.push(next)
  return next
}

async function readText(handle: RunHandle): Promise<string> {
  let text = ''
  try {
    for await (const piece of handle.text) text += piece
  } catch {
    // `readBatches` reports why the handle fails.
  }
  return text
}
