/** A provider in its own process: it speaks Anthropic's streaming protocol and answers with the script of the prompt. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { continuationPrompt } from '@verbatim/core'
import { listen } from '@verbatim/test-kit/http'
import { blockStop, callEnd, callStart, frameOf, textDelta, textStart, toolBlock } from '@verbatim/test-kit/provider'
import type { ProviderEvent } from '@verbatim/test-kit/provider'
import { isToolFault, parsePrompt, scriptOf, tokensBeforeFault } from '../prompt.ts'
import type { PromptSpec } from '../prompt.ts'

process.on('disconnect', () => process.exit(1))

/** Runs whose first call it has refused. */
const refused = new Set<string>()

const { url } = await listen((request, response) => {
  answer(request, response).catch(() => response.destroy())
})
process.send?.({ url })

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = ''
  for await (const chunk of request.setEncoding('utf8')) body += chunk
  const spec = promptOf(body)
  if (spec.fault === 'overloaded' && !refused.has(spec.runId)) {
    refused.add(spec.runId)
    response.writeHead(529, { 'content-type': 'application/json', 'retry-after-ms': '20' })
    response.end(JSON.stringify({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }))
    return
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  await stream(spec, sayingOf(spec, body), response)
}

function promptOf(body: string): PromptSpec {
  // The last prompt of the conversation; JSON escapes none of its characters.
  const prompts = body.match(/torture seed=\d+ run=\S+ tokens=\d+ pace=\d+ fault=[\w-]+/g) ?? []
  return parsePrompt(prompts.at(-1) ?? '')
}

/** What one model call says: tokens of the script, and then perhaps a tool call. */
interface Saying {
  readonly from: number
  readonly to: number
  /** Id of the tool call. */
  readonly toolUse: string | undefined
}

/**
 * With a tool fault, half of the answer comes before the tool call and half after its result. A continuation makes the same call
 * again, as models do; the agent must not run it.
 */
function sayingOf(spec: PromptSpec, body: string): Saying {
  const half = tokensBeforeFault(spec)
  if (!isToolFault(spec.fault)) return { from: 0, to: half, toolUse: undefined }
  const callId = (count: number) => `toolu_${count}_${spec.runId}`
  if (!body.includes(callId(1))) return { from: 0, to: half, toolUse: callId(1) }
  const isContinuation = body.includes(continuationPrompt)
  if (isContinuation && !body.includes(callId(2))) return { from: half, to: half, toolUse: callId(2) }
  return { from: half, to: scriptOf(spec).tokens.length, toolUse: undefined }
}

async function stream(spec: PromptSpec, { from, to, toolUse }: Saying, response: ServerResponse): Promise<void> {
  const script = scriptOf(spec)
  const send = (...events: ProviderEvent[]) => response.write(events.map(frameOf).join(''))
  send(callStart({ input: script.inputTokens }), textStart())
  for (const [at, text] of script.tokens.slice(from, to).entries()) {
    const pauseMs = script.pausesMs[from + at] ?? 0
    if (pauseMs > 0) await sleep(pauseMs)
    if (response.destroyed) return
    send(textDelta(text))
  }
  if (spec.fault === 'cut') return void response.socket?.resetAndDestroy()
  if (spec.fault === 'error') {
    send({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } })
    return void response.end()
  }
  send(blockStop())
  if (toolUse !== undefined) send(...toolBlock(1, { id: toolUse, name: spec.fault, input: { run: spec.runId } }))
  send(...callEnd(toolUse === undefined ? 'end_turn' : 'tool_use', { output: to - from }))
  response.end()
}
