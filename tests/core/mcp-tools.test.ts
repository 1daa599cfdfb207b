/** Tools of a real MCP server, over the real SDK and standard input and output, in the hands of a model. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { claude, mcpTools } from '@verbatim/core/claude'
import { callEnd, callStart, saying, startProvider, toolBlock } from '@verbatim/test-kit/provider'
import type { Provider } from '@verbatim/test-kit/provider'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { openOne } from '../support/engine.ts'
import { answerFrom, answerMessage, followAll, startRun } from '../support/follow.ts'

const program = fileURLToPath(new URL('../support/mcp-server.ts', import.meta.url))

async function connectMcp() {
  const client = new Client({ name: 'tests', version: '1.0.0' })
  await client.connect(new StdioClientTransport({ command: process.execPath, args: [program], stderr: 'ignore' }))
  return { client, [Symbol.asyncDispose]: () => client.close() }
}

/** The result of the call that the model makes, as it is stored; the strict provider has taken it. */
async function resultOf(provider: Provider, tools: Awaited<ReturnType<typeof mcpTools>>, more = {}) {
  const agent = claude({ apiKey: 'k', baseURL: provider.url, maxRetries: 0, tools, ...more })
  await using test = await openOne({ agents: [agent] })
  const runId = await startRun(test.engine)
  expect(answerFrom(await followAll(test.engine, runId)).status).toBe('completed')
  expect(provider.complaints).toEqual([])
  const result = (await answerMessage(test.engine, runId)).content.find(({ type }) => type === 'tool_result')
  expect(result).toBeDefined()
  expect(provider.calls.at(-1)?.body.messages.at(-1)?.content[0]).toMatchObject({ type: 'tool_result' })
  return result
}

const calling = (name: string, input: object = {}) =>
  startProvider((call) => {
    call.send(callStart(), ...toolBlock(0, { id: 'toolu_1', name, input }), ...callEnd('tool_use'))
    call.end()
  }, saying('Done.'))

it('The tools of an MCP server are tools of an agent, with names that a model takes', async () => {
  await using mcp = await connectMcp()
  const tools = await mcpTools(mcp.client, { prefix: 'my.' })
  expect(tools.map(({ name, description, idempotent }) => [name, description, idempotent])).toEqual([
    ['my_notes_add', 'Adds a note', false],
    ['my_picture', 'A picture', true],
    ['my_fails', 'Fails', false],
    ['my_waits', 'Waits for ever', false],
  ])
  await using provider = await calling('my_notes_add', { text: 'milk' })
  expect(await resultOf(provider, tools)).toMatchObject({ content: '1: milk', is_error: false })
})

it('Images of an MCP tool reach the model, and what no model reads is said in words', async () => {
  await using mcp = await connectMcp()
  await using provider = await calling('picture')
  expect(await resultOf(provider, await mcpTools(mcp.client, { only: ['picture'] }))).toMatchObject({
    content: [
      { type: 'text', text: 'Here:' },
      { type: 'image', source: { type: 'base64', media_type: 'image/png' } },
      { type: 'text', text: '[A sound of type audio/wav]' },
      { type: 'text', text: 'A file' },
      { type: 'text', text: 'b.txt: file:///b.txt' },
    ],
  })
})

it('The model hears why an MCP tool failed, also when its input does not fit', async () => {
  await using mcp = await connectMcp()
  const tools = await mcpTools(mcp.client)
  await using failing = await calling('fails')
  expect(await resultOf(failing, tools)).toMatchObject({
    content: 'There is no such note; list them first',
    is_error: true,
  })
  await using wrong = await calling('notes_add', { text: 7 })
  expect(await resultOf(wrong, tools)).toMatchObject({
    content: expect.stringMatching(/text/) as string,
    is_error: true,
  })
})

it("An MCP tool that does not answer ends with the agent's own limit", async () => {
  await using mcp = await connectMcp()
  await using provider = await calling('waits')
  const result = await resultOf(provider, await mcpTools(mcp.client), { toolTimeoutMs: 200 })
  expect(result).toMatchObject({ content: 'The tool did not answer within 200 ms', is_error: true })
})

it('A tool that the MCP server does not have is refused when it is asked for', async () => {
  await using mcp = await connectMcp()
  await expect(mcpTools(mcp.client, { only: ['unknown'] })).rejects.toMatchObject({
    code: 'INVALID_CONFIGURATION',
    data: { field: 'only' },
  })
})
