/** A real MCP server of the SDK on its standard input and output, as a program of its own. */
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { z } from 'zod'

const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

const server = new McpServer({ name: 'test', version: '1.0.0' })
let count = 0

server.registerTool('notes.add', { description: 'Adds a note', inputSchema: { text: z.string() } }, ({ text }) => ({
  content: [{ type: 'text', text: `${++count}: ${text}` }],
}))
server.registerTool('picture', { title: 'A picture', annotations: { readOnlyHint: true } }, () => ({
  content: [
    { type: 'text', text: 'Here:' },
    { type: 'image', data: png, mimeType: 'image/png' },
    { type: 'audio', data: png, mimeType: 'audio/wav' },
    { type: 'resource', resource: { uri: 'file:///a.txt', text: 'A file' } },
    { type: 'resource_link', uri: 'file:///b.txt', name: 'b.txt' },
  ],
}))
server.registerTool('fails', { description: 'Fails' }, () => ({
  content: [{ type: 'text', text: 'There is no such note; list them first' }],
  isError: true,
}))
server.registerTool('waits', { description: 'Waits for ever' }, async () => await new Promise(() => {}))

await server.connect(new StdioServerTransport())
