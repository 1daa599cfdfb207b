/** The provider of the test kit refuses what Anthropic's documentation says of summaries, and tells of thinking that it drops. */
import { Anthropic } from '@anthropic-ai/sdk'
import { compacting, saying, startProviderOf } from '@verbatim/test-kit/provider'
import { expect, it } from 'vitest'

const betas = ['compact-2026-09-04' as const]
const base = { model: 'claude-sonnet-5-5', max_tokens: 8_192 }
const hello = [{ role: 'user' as const, content: [{ type: 'text' as const, text: 'Hello' }] }]
const compaction = { type: 'summarize' as const }

type Params = Anthropic.Beta.MessageCreateParamsNonStreaming

async function openProvider() {
  const provider = await startProviderOf((call) =>
    call.body['compaction'] === undefined ? saying('Yes.') : compacting('They said hello.'),
  )
  const client = new Anthropic({ apiKey: 'k', baseURL: provider.url, maxRetries: 0, logLevel: 'off' })
  const ask = async (params: Partial<Params>) => {
    const stream = client.beta.messages.stream({ ...base, messages: hello, betas, ...params })
    return await stream.finalMessage()
  }
  return { ask, provider, [Symbol.asyncDispose]: async () => await provider[Symbol.asyncDispose]() }
}

it('the strict provider makes a summary and takes it back first, alone and unchanged', async () => {
  await using test = await openProvider()
  const { content, stop_reason } = await test.ask({ compaction })
  expect({ content, stop_reason }).toMatchObject({
    stop_reason: 'compaction',
    content: [{ type: 'compaction', content: 'They said hello.' }],
  })
  await test.ask({ messages: [{ role: 'assistant', content }, ...hello] })
  expect(test.provider.complaints).toEqual([])
})

it('the strict provider refuses what the documentation calls wrong in a summary or in a request for one', async () => {
  await using test = await openProvider()
  const { content } = await test.ask({ compaction })
  const summary = { role: 'assistant' as const, content }
  const changed = {
    role: 'assistant' as const,
    content: content.map((block) => ({ ...block, content: 'Other words' })),
  }
  const forged = { role: 'assistant' as const, content: content.map((block) => ({ ...block, signature: 'forged' })) }
  const wrong: Partial<Params>[] = [
    { compaction, betas: [] },
    { compaction, model: 'claude-haiku-4-5' },
    { compaction, stop_sequences: ['.'] },
    { compaction, context_management: { edits: [] } },
    { compaction: { ...compaction, instructions: 'x'.repeat(16_385) } },
    { messages: [summary, ...hello], betas: [] },
    { messages: [...hello, summary, ...hello] },
    { messages: [summary, summary, ...hello] },
    { messages: [changed as typeof summary, ...hello] },
    { messages: [forged as typeof summary, ...hello] },
  ]
  for (const params of wrong) await expect(test.ask(params)).rejects.toMatchObject({ status: 400 })
  expect(test.provider.complaints).toHaveLength(wrong.length)
})

it('the strict provider tells of thinking that it dropped, where the request asks for it', async () => {
  let signature = ''
  await using provider = await startProviderOf(() => (call) => {
    signature ||= call.sign()
    return saying('Yes.')(call)
  })
  const client = new Anthropic({ apiKey: 'k', baseURL: provider.url, maxRetries: 0, logLevel: 'off' })
  await client.beta.messages.stream({ ...base, messages: hello }).finalMessage()
  const thought = { type: 'thinking' as const, thinking: 'Hm.', signature }
  const answer = { role: 'assistant' as const, content: [thought, { type: 'text' as const, text: 'Yes.' }] }
  const messages = [{ role: 'user' as const, content: 'Another beginning' }, answer, ...hello].map((message) => ({
    ...message,
    content: typeof message.content === 'string' ? [{ type: 'text' as const, text: message.content }] : message.content,
  }))
  const thinking = { type: 'adaptive' as const, block_binding: { prefix_mismatch_behavior: 'drop_block' as const } }
  const binding = ['thinking-binding-controls-2026-08-01' as const]
  const told = await client.beta.messages.stream({ ...base, messages, thinking, betas: binding }).finalMessage()
  expect(told.input_transformations).toEqual([
    { type: 'thinking_dropped', path: 'messages.1.content.0', reason: 'prefix_binding_mismatch' },
  ])
  await expect(client.beta.messages.stream({ ...base, messages }).finalMessage()).rejects.toMatchObject({ status: 400 })
})

it('the strict provider refuses what the documentation calls wrong in a request for structured outputs', async () => {
  await using test = await openProvider()
  const format = (schema: Record<string, unknown>) => ({
    output_config: { format: { type: 'json_schema' as const, schema } },
  })
  const object = (properties: object) => ({ type: 'object', properties, additionalProperties: false })
  const cited = {
    type: 'document' as const,
    source: { type: 'text' as const, media_type: 'text/plain' as const, data: 'Hello' },
    citations: { enabled: true },
  }
  await test.ask({ ...format(object({ a: { type: 'string', format: 'date' } })), betas: [] })
  const wrong: Partial<Params>[] = [
    format({ type: 'object', properties: {} }),
    format(object({ a: { type: 'number', minimum: 1 } })),
    format(object({ a: { type: 'array', items: { type: 'string' }, minItems: 2 } })),
    format(object({ a: { type: 'string', format: 'regex' } })),
    format(object({ a: { type: 'array', items: { $ref: '#' } } })),
    { ...format(object({})), model: 'claude-3-5-haiku-latest' },
    { ...format(object({})), messages: [{ role: 'user', content: [cited] }] },
    { output_config: { format: { type: 'json_object' as 'json_schema', schema: {} } } },
  ]
  for (const params of wrong) await expect(test.ask(params)).rejects.toMatchObject({ status: 400 })
  expect(test.provider.complaints).toHaveLength(wrong.length)
})
