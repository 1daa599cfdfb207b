/** A provider in its own process: it speaks Anthropic's streaming protocol and answers with the script of the prompt. */
import { setTimeout as sleep } from 'node:timers/promises'
import { continuationPrompt } from '@verbatim/core'
import {
  blockStop,
  callEnd,
  callStart,
  startProviderOf,
  textDelta,
  textStart,
  toolBlock,
} from '@verbatim/test-kit/provider'
import type { ProviderCall } from '@verbatim/test-kit/provider'
import { imageOf } from '../image.ts'
import { isToolFault, parsePrompt, scriptOf, tokensBeforeFault } from '../prompt.ts'
import type { PromptSpec } from '../prompt.ts'

process.on('disconnect', () => process.exit(1))

/** Runs whose first call it has refused. */
const refused = new Set<string>()

// Strict: a request that Anthropic's documentation calls wrong gets a 400, and the run that a checker does not expect to fail fails.
const { url } = await startProviderOf(() => answer)
process.send?.({ url })

async function answer(call: ProviderCall): Promise<void> {
  const spec = promptOf(call.json)
  if (spec.fault === 'overloaded' && !refused.has(spec.runId)) {
    refused.add(spec.runId)
    call.refuse(529, { 'retry-after-ms': '20' })
    return
  }
  if (spec.imageId !== null && !call.json.includes(imageOf(spec.imageId).toString('base64')))
    return call.refuseAs('invalid_request_error', 'The image is not the one that was sent')
  await stream(spec, sayingOf(spec, call.json), call)
}

function promptOf(body: string): PromptSpec {
  // The last prompt of the conversation; JSON escapes none of its characters.
  const prompts = body.match(/torture seed=\d+ run=\S+ tokens=\d+ pace=\d+ fault=[\w-]+(?: image=[\w-]+)?/g) ?? []
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

async function stream(spec: PromptSpec, { from, to, toolUse }: Saying, call: ProviderCall): Promise<void> {
  const script = scriptOf(spec)
  let isOver = false
  void call.hungUp.then(() => (isOver = true))
  call.send(callStart({ input: script.inputTokens }), textStart())
  for (const [at, text] of script.tokens.slice(from, to).entries()) {
    const pauseMs = script.pausesMs[from + at] ?? 0
    if (pauseMs > 0) await sleep(pauseMs)
    if (isOver) return
    call.send(textDelta(text))
  }
  if (spec.fault === 'cut') return call.cut()
  if (spec.fault === 'error') {
    call.send({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } })
    return call.end()
  }
  call.send(blockStop())
  if (toolUse !== undefined) call.send(...toolBlock(1, { id: toolUse, name: spec.fault, input: { run: spec.runId } }))
  call.send(...callEnd(toolUse === undefined ? 'end_turn' : 'tool_use', { output: to - from }))
  call.end()
}
