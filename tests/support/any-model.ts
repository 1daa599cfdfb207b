/** The wire protocols of OpenAI and Anthropic, each with its own provider of the AI SDK, so that one test runs over all of them. */
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import {
  callEnd,
  callStart,
  providerSecret,
  startProvider,
  streaming,
  textBlock,
  toolBlock,
} from '@verbatim/test-kit/provider'
import type { ProviderCall, ProviderReply } from '@verbatim/test-kit/provider'
import type { LanguageModel } from 'ai'
import { chat, refusing, responses, sending, startOpenAi } from './open-ai.ts'
import type { Json, OpenAiReply } from './open-ai.ts'

export const apiKey = 'sk-secret-of-the-test'

/** A call of a tool, its input in the pieces that the model streams. */
interface WireTool {
  readonly name: string
  readonly parts: readonly string[]
  readonly id?: string
}

export interface Served extends AsyncDisposable {
  readonly model: LanguageModel
  /** The requests, as JSON. */
  readonly asked: () => readonly string[]
  /** Resolves when the caller has hung up on the newest request. */
  readonly hungUp: () => Promise<unknown>
  readonly complaints: () => readonly string[]
}

/** One protocol. What it answers is a `TReply`. */
interface Wire<TReply> {
  readonly says: (...words: readonly string[]) => TReply
  /** Says the words, and then nothing. */
  readonly hangsAfter: (word: string) => TReply
  readonly cutsAfter: (word: string) => TReply
  /** Says the words, and then in the stream that it is overloaded. */
  readonly failsAfter: (...words: readonly string[]) => TReply
  readonly calls: (...tools: readonly WireTool[]) => TReply
  /** The model has no tokens left in the middle of a tool's input. */
  readonly cutsCall: (tool: WireTool) => TReply
  readonly filters: (word: string) => TReply
  readonly refuses: (status: number, headers?: Record<string, string>) => TReply
  readonly isTooLong: () => TReply
  readonly serve: (...replies: readonly TReply[]) => Promise<Served>
}

async function serveOpenAi(
  replies: readonly OpenAiReply[],
  modelAt: (baseURL: string) => LanguageModel,
): Promise<Served> {
  const server = await startOpenAi(...replies)
  return {
    model: modelAt(server.url),
    asked: () => server.calls.map(({ body }) => JSON.stringify(body)),
    hungUp: async () => await server.calls.at(-1)?.hungUp,
    complaints: () => [],
    [Symbol.asyncDispose]: async () => await server[Symbol.asyncDispose](),
  }
}

const cutting =
  (...frames: readonly Json[]): OpenAiReply =>
  (call) => {
    call.send(...frames)
    call.cut()
  }

const overflow = {
  message: "This model's maximum context length is 1000 tokens. However, your messages resulted in 1200 tokens.",
  type: 'invalid_request_error',
  code: 'context_length_exceeded',
}

function callsOf(tools: readonly WireTool[], firstAt: number, of: typeof responses.call) {
  return tools.flatMap(({ name, parts, id = `call_${name}` }, at) => of(name, parts, { id, at: firstAt + at }))
}

const overloaded = { message: providerSecret, type: 'server_error', code: 'rate_limit_exceeded' }

const openAiResponses: Wire<OpenAiReply> = {
  says: (...words) => sending(responses.start, ...responses.text(words), responses.end()),
  hangsAfter: (word) => (call) => call.send(responses.start, ...responses.text([word]).slice(0, -1)),
  cutsAfter: (word) => cutting(responses.start, ...responses.text([word]).slice(0, -1)),
  failsAfter: (...words) =>
    sending(responses.start, ...(words.length === 0 ? [] : responses.text(words).slice(0, -1)), {
      ...overloaded,
      type: 'error',
      sequence_number: 1,
      error: { ...overloaded, param: null },
    }),
  calls: (...tools) => sending(responses.start, ...callsOf(tools, 0, responses.call), responses.end()),
  cutsCall: (tool) =>
    sending(
      responses.start,
      ...callsOf([tool], 0, responses.call).slice(0, -2),
      responses.incomplete('max_output_tokens'),
    ),
  filters: (word) => sending(responses.start, ...responses.text([word]), responses.incomplete('content_filter')),
  refuses: (status, headers) => refusing(status, {}, headers),
  isTooLong: () => refusing(400, { ...overflow, message: 'Your input exceeds the context window of this model.' }),
  serve: async (...replies) =>
    await serveOpenAi(replies, (baseURL) => createOpenAI({ apiKey, baseURL }).responses('gpt-5')),
}

const chatWire = (modelAt: (baseURL: string) => LanguageModel): Wire<OpenAiReply> => ({
  says: (...words) => sending(...chat.text(...words), ...chat.end()),
  hangsAfter: (word) => (call) => call.send(...chat.text(word)),
  cutsAfter: (word) => cutting(...chat.text(word)),
  failsAfter: (...words) => sending(...chat.text(...words), { error: overloaded }),
  calls: (...tools) => sending(...callsOf(tools, 0, chat.call), ...chat.end('tool_calls')),
  cutsCall: (tool) => sending(...callsOf([tool], 0, chat.call), ...chat.end('length')),
  filters: (word) => sending(...chat.text(word), ...chat.end('content_filter')),
  refuses: (status, headers) => refusing(status, {}, headers),
  isTooLong: () => refusing(400, overflow),
  serve: async (...replies) => await serveOpenAi(replies, modelAt),
})

const anthropic: Wire<ProviderReply> = {
  says: (...words) => streaming(callStart(), ...textBlock(words), ...callEnd()),
  hangsAfter: (word) => (call) => call.send(callStart(), ...textBlock(word).slice(0, -1)),
  cutsAfter: (word) => (call) => {
    call.send(callStart(), ...textBlock(word).slice(0, -1))
    call.cut()
  },
  failsAfter: (...words) => {
    const error = { type: 'error', error: { type: 'overloaded_error', message: providerSecret } }
    return streaming(callStart(), ...(words.length === 0 ? [] : textBlock(words).slice(0, -1)), error)
  },
  calls: (...tools) => streaming(callStart(), ...anthropicCalls(tools), ...callEnd('tool_use')),
  cutsCall: (tool) => streaming(callStart(), ...anthropicCalls([tool]), ...callEnd('max_tokens')),
  filters: (word) => streaming(callStart(), ...textBlock(word), ...callEnd('refusal')),
  refuses: (status, headers) => (call) => call.refuse(status, headers),
  isTooLong: () => (call) => call.refuseAs('invalid_request_error', 'prompt is too long: 1200 tokens > 1000 maximum'),
  async serve(...replies) {
    const provider = await startProvider(...replies)
    return {
      model: createAnthropic({ apiKey, baseURL: `${provider.url}/v1` })('claude-sonnet-5-5'),
      asked: () => provider.calls.map(({ json }) => json),
      hungUp: async () => await newest(provider.calls)?.hungUp,
      complaints: () => provider.complaints,
      [Symbol.asyncDispose]: async () => await provider[Symbol.asyncDispose](),
    }
  },
}

function newest(calls: readonly ProviderCall[]): ProviderCall | undefined {
  return calls.at(-1)
}

function anthropicCalls(tools: readonly WireTool[]) {
  return tools.flatMap(({ name, parts, id = `call_${name}` }, index) => {
    const [start, , stop] = toolBlock(index, { id, name })
    const deltas = parts.map((partial_json) => {
      return { type: 'content_block_delta', index, delta: { type: 'input_json_delta', partial_json } }
    })
    return [start, ...deltas, stop].filter((event) => event !== undefined)
  })
}

const local = { name: 'local', includeUsage: true, supportsStructuredOutputs: true }

/** A test is written once: what a wire answers is its own affair. */
// oxlint-disable-next-line typescript/no-explicit-any -- replies of one wire never meet another's
type AnyWire = Wire<any>

export const wires: readonly (readonly [name: string, wire: AnyWire])[] = [
  ["OpenAI's Responses", openAiResponses],
  ["OpenAI's chat completions", chatWire((baseURL) => createOpenAI({ apiKey, baseURL }).chat('gpt-5'))],
  ['a server like OpenAI', chatWire((baseURL) => createOpenAICompatible({ ...local, apiKey, baseURL })('local-1'))],
  ["Anthropic's Messages", anthropic],
]

export { providerSecret }
