/** The AI SDK's resuming transport as one more reader: it counts chunks, and goes on with the next one after every cut. */
import { setTimeout as sleep } from 'node:timers/promises'
import { WorkflowChatTransport } from '@ai-sdk/workflow/client'
import type { UIMessage } from 'ai'
import type { Endpoint } from './raw-calls.ts'

export interface ChunkHistory {
  readonly reader: string
  /** The JSON text of each chunk, over all reconnects. */
  readonly chunks: readonly string[]
  /** Why the transport gave up; undefined when it ended its stream. */
  readonly failure: string | undefined
}

/** After this silence the connection counts as dead; the server sends a heartbeat every 300 ms. */
const idleMs = 1_500

/** Follows the answer that begins with `runId`. Never rejects. */
export async function followByAiSdk({ port }: Endpoint, runId: string, signal: AbortSignal): Promise<ChunkHistory> {
  const transport = new WorkflowChatTransport<UIMessage>({
    api: `http://127.0.0.1:${port}/api/chat`,
    fetch: async (input, init) => await fetchUntilServed(input, init, signal),
    maxConsecutiveErrors: Number.POSITIVE_INFINITY,
  })
  const chunks: string[] = []
  let failure: string | undefined
  try {
    const stream = await transport.reconnectToStream({ chatId: runId, abortSignal: signal })
    for await (const chunk of stream ?? []) chunks.push(JSON.stringify(chunk))
  } catch (error) {
    failure = String(error)
  }
  return { reader: 'ai-sdk', chunks, failure }
}

/** The transport gives up on a refused connection and on a server that is not ready; its `fetch` is where an application repeats. */
async function fetchUntilServed(
  input: string | URL | Request,
  init: RequestInit | undefined,
  signal: AbortSignal,
): Promise<Response> {
  for (;;) {
    signal.throwIfAborted()
    const silence = new AbortController()
    const watchdog = setTimeout(() => silence.abort(), idleMs)
    const response = await fetch(input, { ...init, signal: AbortSignal.any([signal, silence.signal]) }).catch(
      () => null,
    )
    if (response?.ok === true && response.body !== null)
      return new Response(response.body.pipeThrough(watched(watchdog)), response)
    clearTimeout(watchdog)
    const isRefused = response !== null && response.status < 500 && response.status !== 429
    if (isRefused) return response
    await response?.body?.cancel().catch(() => {})
    await sleep(40, undefined, { signal })
  }
}

/** Passes bytes on, and restarts the watchdog with each piece. */
function watched(watchdog: NodeJS.Timeout): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({
    transform(bytes, controller) {
      watchdog.refresh()
      controller.enqueue(bytes)
    },
    flush: () => clearTimeout(watchdog),
  })
}
