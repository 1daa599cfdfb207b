import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { AgentEvent, Message } from '@verbatim/core'
import { textOf } from '@verbatim/core'
import type { Agent, AgentRequest } from '@verbatim/core/server'
import { z } from 'zod'
import { imageOf } from '../image.ts'
import { expectedText, isTorturePrompt, parsePrompt, scriptLeft, tokensPerProgress } from '../prompt.ts'
import type { Script } from '../prompt.ts'

/** Streams the script of its prompt. */
export const seededAgent: Agent = {
  id: 'seeded',
  input: z.strictObject({ echo: z.string() }).optional(),
  stream: answer,
}

/** The same, but another process continues a lost run. */
export const continuingAgent: Agent = { ...seededAgent, id: 'continuing', onCrash: 'continue' }

async function* answer(request: AgentRequest, signal: AbortSignal): AsyncGenerator<AgentEvent, void, void> {
  const script = scriptFor(request)
  await requireImage(request, signal)
  yield* speak(script, request, signal)
}

/** The newest prompt of a person. */
function promptAt(messages: readonly Message[]): number {
  return messages.findLastIndex(({ role, continuationOf }) => role === 'user' && continuationOf === null)
}

/** The rest of the script, from the history alone: the newest prompt, and what its parts have said. */
function scriptFor({ messages, input, principal, session, sessionId }: AgentRequest): Script {
  const at = promptAt(messages)
  const prompt = textOf(messages[at]?.content ?? [])
  // Of the hostile caller: a failed agent would be an error that it did not make.
  if (!isTorturePrompt(prompt)) return { thinking: [], tokens: ['What?'], pausesMs: [], inputTokens: 1 }
  if (!isDeepStrictEqual(input, { echo: prompt })) throw new Error('The input is that of another prompt')
  if (principal.userId !== 'torture' || session.id !== sessionId) throw new Error('The run is of another caller')
  const spec = parsePrompt(prompt)
  const parts = messages.slice(at + 1).filter(({ role }) => role === 'assistant')
  const said = parts.map(({ content }) => textOf(content)).join('')
  if (!expectedText(spec).startsWith(said)) throw new Error('The history holds another answer')
  return scriptLeft(spec, said)
}

async function requireImage({ messages, attachments }: AgentRequest, signal: AbortSignal): Promise<void> {
  const prompt = textOf(messages[promptAt(messages)]?.content ?? [])
  const { imageId } = isTorturePrompt(prompt) ? parsePrompt(prompt) : { imageId: null }
  if (imageId === null) return
  const bytes = await attachments?.read(imageId, { signal })
  if (bytes === undefined || !imageOf(imageId).equals(bytes)) throw new Error('The image is not the one that was sent')
}

async function* speak(
  script: Script,
  { emit }: AgentRequest,
  signal: AbortSignal,
): AsyncGenerator<AgentEvent, void, void> {
  yield { type: 'message_start', message: { model: 'seeded-1', usage: { input_tokens: script.inputTokens } } }
  const textIndex = script.thinking.length > 0 ? 1 : 0
  let said = 0
  let count = 0
  if (textIndex > 0) yield* thinkingBlock(script.thinking)
  yield { type: 'content_block_start', index: textIndex, content_block: { type: 'text', text: '' } }
  for (const [at, text] of script.tokens.entries()) {
    const pauseMs = script.pausesMs[at] ?? 0
    if (pauseMs > 0) await sleep(pauseMs, undefined, { signal })
    yield { type: 'content_block_delta', index: textIndex, delta: { type: 'text_delta', text } }
    said += text.length
    if ((at + 1) % tokensPerProgress !== 0) continue
    const progress = { count: ++count, said }
    // Both ways into the log, in turns.
    if (count % 2 === 0) yield { type: 'data', name: 'progress', id: 'tokens', data: progress }
    else await emit('progress', progress, { id: 'tokens' })
  }
  yield { type: 'content_block_stop', index: textIndex }
  const delta = { stop_reason: 'end_turn', stop_sequence: null }
  yield { type: 'message_delta', delta, usage: { output_tokens: script.tokens.length } }
  yield { type: 'message_stop' }
}

function* thinkingBlock(thoughts: readonly string[]): Generator<AgentEvent> {
  yield { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } }
  for (const thinking of thoughts) {
    yield { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking } }
  }
  yield { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'signed' } }
  yield { type: 'content_block_stop', index: 0 }
}
