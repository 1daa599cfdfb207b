/** The client that users have, as one more witness: what its handle yields goes into a journal like any other's. */
import { createClient } from '@verbatim/client'
import type { RunHandle, VerbatimClient } from '@verbatim/client'
import { isVerbatimError } from '@verbatim/core'
import type { Message } from '@verbatim/core'
import { Journal, ViolationError } from './journal.ts'
import type { Endpoint, StartInput } from './raw-calls.ts'

export interface SdkJournal {
  readonly journal: Journal
  /** What `run.text` yielded. */
  readonly text: string
  /** What `run.message` resolved to; undefined when the run failed. */
  readonly message: Message | undefined
  /** Why the handle gave up, if it did. */
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
): Promise<SdkJournal> {
  const { sessionId, runId, message, agentId } = input
  const handle = client.chat(sessionId).send(message, { runId, agentId, signal })
  handle.started.then(onStarted, () => {}) // a refused start is what the handle's iterators throw
  return await readHandle(handle, 'sdk-sender')
}

/** Follows a run that somebody else started. Never rejects. */
export async function followBySdk(client: VerbatimClient, runId: string, signal: AbortSignal): Promise<SdkJournal> {
  return await readHandle(client.runs.follow(runId, { signal }), 'sdk-follower')
}

async function readHandle(handle: RunHandle, name: string): Promise<SdkJournal> {
  const journal = new Journal(handle.id, name)
  const [refusedWith, text, message] = await Promise.all([
    readBatches(handle, journal),
    readText(handle),
    handle.message.catch(() => undefined),
  ])
  if (refusedWith === undefined) journal.end = 'terminal'
  else if (refusedWith === 'RUN_NOT_FOUND') journal.end = 'not_found'
  await handle[Symbol.asyncDispose]()
  return { journal, text, message, refusedWith }
}

async function readBatches(handle: RunHandle, journal: Journal): Promise<string | undefined> {
  try {
    for await (const batch of handle.batches) journal.add(batch)
    if (!journal.hasEnded) journal.violate('the handle ended before the terminal event')
    return undefined
  } catch (error) {
    if (error instanceof ViolationError) return 'violated'
    return isVerbatimError(error) ? error.code : String(error)
  }
}

async function readText(handle: RunHandle): Promise<string> {
  let text = ''
  try {
    for await (const piece of handle.text) text += piece
  } catch {
    // A run that failed or a handle that was refused: the journal tells which.
  }
  return text
}
