/** What the API refuses in content beyond text: images, documents, blocks of its own tools and of MCP servers. */
import type { JudgedRequest, RequestBlock, RequestMessage, Rule } from './request.ts'

const vision = 'Vision, build-with-claude/vision'
const pdf = 'PDF support, build-with-claude/pdf-support'
const citing = 'Citations, build-with-claude/citations'
const serverTools = 'Server tools, agents-and-tools/tool-use/server-tools'
const connector = 'MCP connector, agents-and-tools/mcp-connector'
const toolCalls = 'Handle tool calls, agents-and-tools/tool-use/handle-tool-calls'
const mcpBeta = 'mcp-client-2025-11-20'

const imageTypes = ['image/jpeg', 'image/png', 'image/gif', 'image/webp']
const maxImageChars = 10_000_000
const maxMedia = 100

interface Source {
  readonly type?: unknown
  readonly media_type?: unknown
  readonly data?: unknown
  readonly url?: unknown
}

function sourceOf(block: RequestBlock): Source {
  return (block['source'] ?? {}) as Source
}

/** The blocks of the caller's own: all messages', and those in results of tools. */
function mediaOf({ messages }: JudgedRequest['body']): RequestBlock[] {
  const all = messages.flatMap(({ content }) => content)
  return [...all, ...all.flatMap(partsOf)].filter(({ type }) => type === 'image' || type === 'document')
}

function partsOf({ type, content }: RequestBlock): RequestBlock[] {
  return type === 'tool_result' && Array.isArray(content) ? (content as RequestBlock[]) : []
}

function hasData({ data }: Source): boolean {
  return typeof data === 'string' && data.length > 0
}

function isUrl({ type, url }: Source): boolean {
  return type === 'url' && typeof url === 'string' && /^https?:/.test(url)
}

function isBase64(source: Source): boolean {
  return source.type === 'base64' && hasData(source) && /^[A-Za-z0-9+/]+={0,2}$/.test(String(source.data))
}

function isImage(block: RequestBlock): boolean {
  const source = sourceOf(block)
  if (isUrl(source)) return true
  return (
    isBase64(source) && imageTypes.includes(String(source.media_type)) && String(source.data).length < maxImageChars
  )
}

function isDocument(block: RequestBlock): boolean {
  const source = sourceOf(block)
  if (isUrl(source)) return true
  if (source.type === 'text') return source.media_type === 'text/plain' && hasData(source)
  return isBase64(source) && source.media_type === 'application/pdf'
}

/** Whether a block is one that a provider made: everything that is not the caller's or the model's own. */
export function isProviders({ type }: RequestBlock): boolean {
  return !ownTypes.has(type)
}

const ownTypes: ReadonlySet<string> = new Set([
  'text',
  'image',
  'document',
  'thinking',
  'redacted_thinking',
  'tool_use',
  'tool_result',
  'compaction',
])

function isCall({ type }: RequestBlock): boolean {
  return type !== 'tool_use' && type.endsWith('_tool_use')
}

function isAnswer(block: RequestBlock): boolean {
  return isProviders(block) && typeof block['tool_use_id'] === 'string'
}

/** The first call of the provider's tools that has no result and is not to be run either. */
function complaintOfPairs(messages: readonly RequestMessage[]): string | undefined {
  const open = new Map<string, { readonly at: number; readonly name: string }>()
  for (const [at, { role, content }] of messages.entries()) {
    if (role === 'user' && content.some(({ type }) => type !== 'tool_result')) {
      const [lost] = open.values()
      if (lost !== undefined) return complaintOf(lost)
    }
    for (const block of content) {
      if (isCall(block)) open.set(String(block['id']), { at, name: String(block['name']) })
      if (isAnswer(block) && !open.delete(String(block['tool_use_id'])))
        return `messages.${at}: unexpected \`tool_use_id\` found in \`${block.type}\` blocks`
    }
  }
  return undefined
}

function complaintOf({ at, name }: { at: number; name: string }): string {
  return `messages.${at}: \`${name}\` tool use was found without a corresponding \`${name}_tool_result\` block`
}

interface Definition {
  readonly type?: unknown
  readonly name?: unknown
  readonly mcp_server_name?: unknown
}

function definitionsOf({ tools }: JudgedRequest['body']): Definition[] {
  return Array.isArray(tools) ? (tools as Definition[]) : []
}

/** Whether the conversation ends with an answer that the provider goes on with. */
export function isPaused({ messages }: JudgedRequest['body']): boolean {
  const last = messages.at(-1)
  const block = last?.content.at(-1)
  return last?.role === 'assistant' && block !== undefined && isProviders(block)
}

export const contentRules: readonly Rule[] = [
  {
    source: `${vision}: supported formats and sizes`,
    complaint: ({ body }) =>
      mediaOf(body).some((block) => block.type === 'image' && !isImage(block)) ? 'image: Input is wrong' : undefined,
  },
  {
    source: `${pdf}; ${citing}: document types`,
    complaint: ({ body }) =>
      mediaOf(body).some((block) => block.type === 'document' && !isDocument(block))
        ? 'document: Input is wrong'
        : undefined,
  },
  {
    source: `${vision}: 100 images in a request`,
    complaint: ({ body }) => (mediaOf(body).length > maxMedia ? 'messages: too many images and documents' : undefined),
  },
  {
    source: `${citing}: enabled on all documents of a request, or on none`,
    complaint: ({ body }) => {
      const documents = mediaOf(body).filter(({ type }) => type === 'document')
      const cited = documents.filter(
        ({ citations }) => (citations as { enabled?: unknown } | undefined)?.enabled === true,
      )
      return cited.length > 0 && cited.length < documents.length
        ? 'Citations must be enabled on all documents or none'
        : undefined
    },
  },
  {
    source: `${toolCalls}: tool_result content`,
    complaint: ({ body }) => {
      const results = body.messages.flatMap(({ content }) => content).filter(({ type }) => type === 'tool_result')
      const isWrong = results.some((result) => {
        const types = partsOf(result).map(({ type }) => type)
        if (types.some((type) => !['text', 'image', 'document', 'search_result'].includes(type))) return true
        return result['is_error'] === true && types.some((type) => type !== 'text')
      })
      return isWrong ? 'tool_result: content has a block that it may not have' : undefined
    },
  },
  {
    source: `${serverTools}: the blocks come back as they came`,
    complaint: ({ body, sent }) => {
      for (const [at, { role, content }] of body.messages.entries()) {
        for (const [index, block] of content.entries()) {
          const path = `messages.${at}.content.${index}`
          if (isProviders(block) && (role !== 'assistant' || !sent.hasBlock(block)))
            return `${path}: Input tag '${block.type}' does not match any of the expected tags`
          const citations = block.type === 'text' ? block['citations'] : undefined
          if (Array.isArray(citations) && !citations.every((one) => sent.hasCitation(one)))
            return `${path}: \`citations\` are not as the API returned them`
        }
      }
      return undefined
    },
  },
  {
    source: `${serverTools}: the server_tool_use block; pause_turn; mixed turns`,
    complaint: ({ body }) => complaintOfPairs(body.messages),
  },
  {
    source: `${connector}: the beta header; requests and their blocks`,
    complaint: ({ body, betas }) => {
      const usesMcp =
        body['mcp_servers'] !== undefined ||
        definitionsOf(body).some(({ type }) => type === 'mcp_toolset') ||
        body.messages.some(({ content }) => content.some(({ type }) => type.startsWith('mcp_')))
      return usesMcp && !betas.includes(mcpBeta) ? `mcp_servers: requires anthropic-beta: ${mcpBeta}` : undefined
    },
  },
  {
    source: `${connector}: each server has exactly one toolset, each toolset a server`,
    complaint: ({ body }) => {
      const servers = Array.isArray(body['mcp_servers']) ? (body['mcp_servers'] as Definition[]) : []
      const toolsets = definitionsOf(body).filter(({ type }) => type === 'mcp_toolset')
      const names = servers.map(({ name }) => String(name)).toSorted()
      const isWrong = servers.some(({ type }) => type !== 'url') || new Set(names).size < names.length
      const named = toolsets.map(({ mcp_server_name }) => String(mcp_server_name)).toSorted()
      return isWrong || names.join() !== named.join() ? 'mcp_servers: servers and toolsets do not match' : undefined
    },
  },
]
