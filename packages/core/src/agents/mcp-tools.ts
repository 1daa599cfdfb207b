/**
 * Tools of an MCP server as tools of an agent. In: a connected client of @modelcontextprotocol/sdk. Out: one tool for each of the
 * server's, which asks the server when the model calls it. Nothing of the SDK is loaded here: the client is the caller's.
 */
import type { ToolResultPart } from '../contract/content-block.ts'
import { VerbatimError } from '../contract/errors.ts'
import type { JsonValue } from '../contract/json-value.ts'
import { DocumentBlock, ImageBlock } from '../contract/media-block.ts'
import type { Tool, ToolContext, ToolInputSchema } from './claude/tool.ts'
import { ToolError } from './claude/tool-error.ts'

/** What the tools need of the SDK's `Client`. */
export interface McpClient {
  listTools(
    params?: { cursor?: string },
    options?: McpRequestOptions,
  ): Promise<{ readonly tools: readonly McpTool[]; readonly nextCursor?: string | undefined }>
  callTool(
    params: { name: string; arguments?: { [field: string]: unknown } },
    resultSchema?: undefined,
    options?: McpRequestOptions,
  ): Promise<{ readonly [field: string]: unknown }>
}

interface McpRequestOptions {
  readonly signal?: AbortSignal
  /** In milliseconds. */
  readonly timeout?: number
}

/** A tool as the server lists it. */
interface McpTool {
  readonly name: string
  readonly title?: string | undefined
  readonly description?: string | undefined
  readonly inputSchema: { readonly type: 'object'; readonly [field: string]: unknown }
  readonly annotations?:
    | { readonly readOnlyHint?: boolean | undefined; readonly idempotentHint?: boolean | undefined }
    | undefined
}

/** Options of {@link mcpTools}. */
export interface McpToolsOptions {
  /** Stands before each name, so that tools of several servers differ. @default "" */
  readonly prefix?: string | undefined
  /** The server's names of the tools to take. @default all */
  readonly only?: readonly string[] | undefined
  /** Ends the listing. */
  readonly signal?: AbortSignal | undefined
}

/** A server that lists for ever is not followed. */
const maxPages = 100
/** The agent's own `toolTimeoutMs` ends a call; the SDK's timeout of 60 s must not come before. */
const noTimeoutMs = 2 ** 31 - 1

/**
 * The tools that `client`'s server has now. A server that changes its list is asked again by making a new agent. The names get the
 * letters that models take (`files.read` becomes `files_read`). A tool that the server calls read-only or idempotent may be called
 * again by a run that goes on from a lost one; so connect only servers that you trust.
 *
 * @example
 * const client = new Client({ name: 'my-app', version: '1.0.0' })
 * await client.connect(new StdioClientTransport({ command: 'npx', args: ['my-mcp-server'] }))
 * const agent = claude({ tools: await mcpTools(client) })
 * @throws VerbatimError `INVALID_CONFIGURATION` when two tools have one name or `only` names one that is not there; what the client throws
 */
export async function mcpTools(client: McpClient, options: McpToolsOptions = {}): Promise<Tool[]> {
  const { prefix = '', only, signal } = options
  const listed = await listTools(client, signal)
  const missing = only?.find((name) => !listed.some((tool) => tool.name === name))
  if (missing !== undefined) throw wrong('only', `the MCP server has no tool ${missing.slice(0, 64)}`)
  const tools = listed
    .filter(({ name }) => only?.includes(name) ?? true)
    .map((tool) => toTool(client, tool, toName(prefix + tool.name)))
  const twice = tools.find(({ name }, at) => tools.findIndex((other) => other.name === name) < at)
  if (twice !== undefined) throw wrong('prefix', `two tools of the MCP server are called ${twice.name}`)
  return tools
}

async function listTools(client: McpClient, signal: AbortSignal | undefined): Promise<McpTool[]> {
  const tools: McpTool[] = []
  const request = signal === undefined ? {} : { signal }
  let cursor: string | undefined
  for (let page = 0; page < maxPages; page++) {
    const listed = await client.listTools(cursor === undefined ? {} : { cursor }, request)
    tools.push(...listed.tools)
    cursor = listed.nextCursor
    if (cursor === undefined) break
  }
  return tools
}

function toName(name: string): string {
  return name.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64)
}

function toTool(client: McpClient, { name: serverName, ...tool }: McpTool, name: string): Tool {
  const { title, description, inputSchema, annotations } = tool
  return Object.freeze({
    name,
    description: description ?? title ?? serverName,
    inputSchema: inputSchema as ToolInputSchema, // of an object, as the protocol says
    idempotent: annotations?.readOnlyHint === true || annotations?.idempotentHint === true,
    async execute(input: JsonValue, { signal }: ToolContext) {
      if (!isObject(input)) throw new ToolError('The input must be an object')
      const called = await client.callTool({ name: serverName, arguments: input }, undefined, {
        signal,
        timeout: noTimeoutMs,
      })
      return toResult(called)
    },
  } satisfies Tool)
}

/** @throws ToolError with what the server said, when the tool failed */
function toResult({ content, structuredContent, isError }: { readonly [field: string]: unknown }) {
  const parts = Array.isArray(content) ? content.flatMap(toParts) : []
  const texts = parts.flatMap((part) => (part.type === 'text' ? [part.text] : []))
  if (isError === true) throw new ToolError(texts.join('\n') || 'The tool failed')
  if (parts.length === 0) return structuredContent === undefined ? '' : JSON.stringify(structuredContent)
  return texts.length === parts.length ? texts.join('\n') : parts
}

/** A part of what the server answered, as a model reads it. What no model reads is said in words. */
function toParts(part: unknown): ToolResultPart[] {
  if (!isObject(part)) return []
  switch (part['type']) {
    case 'text':
      return typeof part['text'] === 'string' ? [textPart(part['text'])] : []
    case 'image':
      return [toMedia(part['mimeType'], part['data']) ?? textPart(`[An image of type ${wordOf(part['mimeType'])}]`)]
    case 'audio':
      return [textPart(`[A sound of type ${wordOf(part['mimeType'])}]`)]
    case 'resource_link':
      return [textPart(`${wordOf(part['title'] ?? part['name'])}: ${wordOf(part['uri'])}`)]
    case 'resource':
      return [toResourcePart(part['resource'])]
    default:
      return [textPart(JSON.stringify(part))]
  }
}

function toResourcePart(resource: unknown): ToolResultPart {
  const { uri, text, blob, mimeType } = isObject(resource) ? resource : {}
  if (typeof text === 'string') return textPart(text)
  return toMedia(mimeType, blob) ?? textPart(`[A file of type ${wordOf(mimeType)} at ${wordOf(uri)}]`)
}

/** The image or PDF; undefined for what no model reads. */
function toMedia(media_type: unknown, data: unknown): ToolResultPart | undefined {
  const source = { type: 'base64', media_type, data }
  return (
    ImageBlock.safeParse({ type: 'image', source }).data ?? DocumentBlock.safeParse({ type: 'document', source }).data
  )
}

function wordOf(value: unknown): string {
  return typeof value === 'string' ? value : 'unknown'
}

function textPart(text: string): ToolResultPart {
  return { type: 'text', text: text.toWellFormed() }
}

function isObject(value: unknown): value is { [field: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function wrong(field: string, message: string): VerbatimError {
  return new VerbatimError('INVALID_CONFIGURATION', `mcpTools(): ${message}`, { data: { field } })
}
