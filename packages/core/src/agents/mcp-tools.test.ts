import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js'
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { expect, it } from 'vitest'
import { mcpTools } from './claude.ts'

/** A client of a server that lists tools of these names, so many on a page. */
async function connect(names: readonly string[], pageSize = names.length) {
  const server = new Server({ name: 'test', version: '1.0.0' }, { capabilities: { tools: {} } })
  server.setRequestHandler(ListToolsRequestSchema, ({ params }) => {
    const from = Number(params?.cursor ?? 0)
    const tools = names.slice(from, from + pageSize).map((name) => ({ name, inputSchema: { type: 'object' as const } }))
    const next = from + pageSize
    return { tools, ...(next < names.length ? { nextCursor: String(next) } : {}) }
  })
  const [near, far] = InMemoryTransport.createLinkedPair()
  await server.connect(far)
  const client = new Client({ name: 'tests', version: '1.0.0' })
  await client.connect(near)
  return { client, [Symbol.asyncDispose]: () => client.close() }
}

it('All pages of an MCP server are listed', async () => {
  const names = Array.from({ length: 25 }, (_, at) => `tool_${at}`)
  await using mcp = await connect(names, 10)
  expect((await mcpTools(mcp.client)).map(({ name }) => name)).toEqual(names)
})

it('Two tools that would have one name for the model are refused', async () => {
  await using mcp = await connect(['a.b', 'a_b'])
  await expect(mcpTools(mcp.client)).rejects.toMatchObject({
    code: 'INVALID_CONFIGURATION',
    data: { field: 'prefix' },
    message: 'mcpTools(): two tools of the MCP server are called a_b',
  })
})
