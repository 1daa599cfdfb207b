/**
 * What Anthropic's documentation says the Messages API refuses, a rule each with its source. All pages are below
 * https://platform.claude.com/docs/en/; types are those of @anthropic-ai/sdk 1.12.
 */
import { compactionRules, isPresent } from './compaction-rules.ts'
import { outputRules } from './output-rules.ts'
import { contentRules, isPaused, isProviders } from './content-rules.ts'
import { compactionOf, isThinking } from './request.ts'
import type { JudgedRequest, RequestBlock, RequestMessage, Rule } from './request.ts'

const reference = 'Messages API reference, api/messages/create'
const errors = 'Errors, api/errors'
const sonnet = "What's new in Claude Sonnet 5.5, models/sonnet-5-5/whats-new-sonnet-5-5"
const troubleshooting = 'Troubleshooting thinking, build-with-claude/thinking-troubleshooting'
const toolCalls = 'Handle tool calls, agents-and-tools/tool-use/handle-tool-calls'
const caching = 'Prompt caching, build-with-claude/prompt-caching'

const isSonnet55 = (model: string) => model.includes('claude-sonnet-5-5')
const refusesBudget = (model: string) => /claude-(?:fable|mythos-5|(?:sonnet|opus|haiku)-5|opus-4-[78])/.test(model)
const refusesPrefill = (model: string) => !/claude-(?:3|(?:sonnet|opus|haiku)-4-[0-5])/.test(model)
const invisible = /^[\s\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]*$/u

interface Placed {
  readonly block: RequestBlock
  readonly path: string
  readonly role: string
}

function blocksOf({ body }: JudgedRequest): Placed[] {
  return body.messages.flatMap(({ role, content }, at) =>
    content.map((block, index) => ({ block, role, path: `messages.${at}.content.${index}` })),
  )
}

/** The first of `placed` that is wrong, as the API names it. */
function firstWrong(placed: readonly Placed[], isWrong: (block: RequestBlock, role: string) => boolean, what: string) {
  const wrong = placed.find(({ block, role }) => isWrong(block, role))
  return wrong === undefined ? undefined : `${wrong.path}: ${what}`
}

const isText = (value: unknown): value is string => typeof value === 'string'

/** The fields of each block that an agent may send. */
const fields: Readonly<Record<string, { readonly role: string; readonly names: readonly string[] }>> = {
  text: { role: 'any', names: ['text', 'citations'] },
  image: { role: 'user', names: ['source'] },
  document: { role: 'user', names: ['source', 'title', 'context', 'citations'] },
  thinking: { role: 'assistant', names: ['thinking', 'signature'] },
  redacted_thinking: { role: 'assistant', names: ['data'] },
  tool_use: { role: 'assistant', names: ['id', 'name', 'input', 'caller'] },
  tool_result: { role: 'user', names: ['tool_use_id', 'content', 'is_error'] },
  compaction: { role: 'any', names: ['content', 'signature', 'encrypted_content', 'tool_changes'] },
}

function idsOf(message: RequestMessage | undefined, type: string, key: string): string[] {
  return (message?.content ?? []).flatMap((block) => (block.type === type ? [String(block[key])] : []))
}

const shapeRules: readonly Rule[] = [
  {
    source: `${errors}: request size limits`,
    complaint: ({ bytes }) => (bytes > 32_000_000 ? 'Request exceeds the maximum size' : undefined),
  },
  {
    source: `${reference}: max_tokens; Models overview, models/overview`,
    complaint: ({ body: { max_tokens } }) => {
      const isCount = typeof max_tokens === 'number' && Number.isInteger(max_tokens)
      return isCount && max_tokens >= 1 && max_tokens <= 128_000 ? undefined : 'max_tokens: must be from 1 to 128000'
    },
  },
  {
    source: `${reference}: messages`,
    complaint: ({ body }) => {
      const { messages } = body
      if (messages[0]?.role !== 'user' && compactionOf(body) === undefined)
        return 'messages: first message must use the "user" role'
      return messages.some(({ role }) => role !== 'user' && role !== 'assistant') ? 'messages: unknown role' : undefined
    },
  },
  {
    source: `${reference}: all messages must have non-empty content`,
    complaint: ({ body: { messages } }) => {
      const at = messages.findIndex(({ content }) => content.length === 0)
      return at === -1 ? undefined : `messages.${at}: all messages must have non-empty content`
    },
  },
  {
    source: `${errors}: invalid_request_error, "The request body is not valid JSON: no low surrogate in string"`,
    complaint: ({ body }) =>
      /(?<!\\)(?:\\\\)*\\ud[89a-f]/.test(JSON.stringify(body))
        ? 'The request body is not valid JSON: no low surrogate in string'
        : undefined,
  },
  {
    source: `${reference}: content blocks`,
    complaint: (request) =>
      firstWrong(
        blocksOf(request),
        // Blocks of a provider have a rule of their own.
        (block, role) => {
          const { role: by } = fields[block.type] ?? {}
          return by === undefined ? !isProviders(block) : by !== 'any' && by !== role
        },
        'Input tag does not match any of the expected tags',
      ),
  },
  {
    source: `${reference}: content blocks`,
    complaint: (request) =>
      firstWrong(
        blocksOf(request),
        ({ type, cache_control: _mark, ...rest }) =>
          fields[type] !== undefined && Object.keys(rest).some((key) => !fields[type]?.names.includes(key)),
        'Extra inputs are not permitted',
      ),
  },
  {
    source: `${reference}: text blocks`,
    complaint: (request) =>
      firstWrong(
        blocksOf(request),
        ({ type, text }) => type === 'text' && (!isText(text) || invisible.test(text)),
        'text content blocks must contain non-whitespace text',
      ),
  },
  {
    source: `${errors}: prefill not supported; ${reference}: messages`,
    complaint: ({ body }) => {
      const { model, messages, compaction } = body
      const last = messages.at(-1)
      // A request for a summary may end with an answer: none follows it.
      if (last?.role !== 'assistant' || isPresent(compaction) || isPaused(body)) return undefined
      if (refusesPrefill(model)) return 'This model does not support assistant message prefill.'
      const text = last.content.at(-1)?.['text']
      return isText(text) && text !== text.trimEnd()
        ? 'messages: final assistant content cannot end with trailing whitespace'
        : undefined
    },
  },
]

const toolRules: readonly Rule[] = [
  {
    source: `${reference}: tool_use.id, pattern ^[a-zA-Z0-9_-]+$`,
    complaint: (request) =>
      firstWrong(
        blocksOf(request),
        ({ id, tool_use_id, type }) =>
          (type === 'tool_use' && !/^[a-zA-Z0-9_-]+$/.test(String(id))) ||
          (type === 'tool_result' && !/^[a-zA-Z0-9_-]+$/.test(String(tool_use_id))),
        "String should match pattern '^[a-zA-Z0-9_-]+$'",
      ),
  },
  {
    source: `${reference}: tool_use.name, pattern ^[a-zA-Z0-9_-]{1,128}$; tool_use.input, an object`,
    complaint: (request) =>
      firstWrong(
        blocksOf(request),
        ({ type, name, input }) =>
          type === 'tool_use' &&
          (!/^[a-zA-Z0-9_-]{1,128}$/.test(String(name)) ||
            typeof input !== 'object' ||
            input === null ||
            Array.isArray(input)),
        'Input should be a valid dictionary, and its name a valid name',
      ),
  },
  {
    source: `${toolCalls}: ids are unique`,
    complaint: ({ body: { messages } }) => {
      const ids = messages.flatMap((message) => idsOf(message, 'tool_use', 'id'))
      return new Set(ids).size === ids.length ? undefined : 'messages: `tool_use` ids must be unique'
    },
  },
  {
    source: `${toolCalls}: each tool_use is answered in the next message, each tool_result answers one`,
    complaint: ({ body: { messages } }) => {
      const at = messages.findIndex((message, index) => {
        const asked = idsOf(message, 'tool_use', 'id')
        const answered = idsOf(messages[index + 1], 'tool_result', 'tool_use_id')
        return asked.toSorted().join() !== answered.toSorted().join()
      })
      return at === -1 ? undefined : `messages.${at + 1}: \`tool_use\` and \`tool_result\` blocks do not match`
    },
  },
  {
    source: `${toolCalls}: tool_result blocks come first in the content`,
    complaint: ({ body: { messages } }) => {
      const at = messages.findIndex(({ content }) => {
        const count = content.filter(({ type }) => type === 'tool_result').length
        return content.slice(0, count).some(({ type }) => type !== 'tool_result')
      })
      return at === -1 ? undefined : `messages.${at}: \`tool_result\` blocks must come first`
    },
  },
  {
    source: `${toolCalls}: an error has content`,
    complaint: (request) =>
      firstWrong(
        blocksOf(request),
        ({ is_error, content }) => is_error === true && (content === '' || content === undefined),
        'content cannot be empty if `is_error` is true',
      ),
  },
  {
    source: `${reference}: tools are defined where tool blocks are used; tool names`,
    complaint: ({ body: { messages, tools } }) => {
      const all = Array.isArray(tools) ? (tools as { type?: unknown; name?: unknown }[]) : []
      const names = all.filter(({ type }) => type !== 'mcp_toolset').map(({ name }) => String(name))
      if (names.some((name) => !/^[a-zA-Z0-9_-]{1,128}$/.test(name))) return 'tools.0.name: wrong'
      if (new Set(names).size < names.length) return 'tools: Tool names must be unique.'
      const usesTools = messages.some(({ content }) => content.some(({ type }) => type.startsWith('tool_')))
      return usesTools && all.length === 0 ? 'tools: Requests with tool blocks must define tools' : undefined
    },
  },
  {
    source: `${sonnet}: forced tool use is not supported`,
    complaint: ({ body: { model, tool_choice } }) => {
      const type = (tool_choice as { type?: unknown } | undefined)?.type
      return isSonnet55(model) && (type === 'any' || type === 'tool')
        ? 'tool_choice: type "tool" and "any" are not supported for this model.'
        : undefined
    },
  },
]

interface ThinkingConfig {
  readonly type?: string
  readonly budget_tokens?: number
  readonly [key: string]: unknown
}

const thinkingRules: readonly Rule[] = [
  {
    source: `${sonnet}: turn off up-front thinking; ${troubleshooting}: configurations each model rejects`,
    complaint: ({ body: { model, thinking, max_tokens } }) => {
      const { type, budget_tokens = 0, ...rest } = (thinking ?? {}) as ThinkingConfig
      const refused = `"thinking.type.${type}" is not supported for this model.`
      if (type === 'disabled' && isSonnet55(model)) return `${refused} Use "thinking.type.between_tools".`
      if (type === 'enabled' && refusesBudget(model)) return refused
      if (type === 'enabled' && (budget_tokens < 1_024 || budget_tokens >= Number(max_tokens))) return 'budget_tokens'
      const isPlain = type === 'between_tools' || type === 'disabled'
      return isPlain && Object.keys(rest).length > 0 ? 'thinking: Extra inputs are not permitted' : undefined
    },
  },
  {
    source: `${reference}: thinking blocks may not end an assistant message`,
    complaint: ({ body: { messages } }) => {
      const at = messages.findIndex(({ role, content }) => {
        const last = content.at(-1)
        return role === 'assistant' && last !== undefined && isThinking(last)
      })
      return at === -1 ? undefined : `messages.${at}: The final block in an assistant message cannot be \`thinking\`.`
    },
  },
  {
    source: `${caching}: up to 4 cache breakpoints`,
    complaint: ({ body }) => {
      const marks = JSON.stringify(body).match(/"cache_control":/g)?.length ?? 0
      return marks > 4 ? `A maximum of 4 blocks with cache_control may be provided. Found ${marks}.` : undefined
    },
  },
  {
    source: `${caching}: what cannot be cached`,
    complaint: (request) =>
      firstWrong(
        blocksOf(request),
        (block) => 'cache_control' in block && isThinking(block),
        'cache_control: Extra inputs are not permitted',
      ),
  },
  {
    source: 'Context windows, build-with-claude/context-windows: prompt is too long',
    complaint: ({ tokens, contextTokens }) =>
      tokens > contextTokens ? `prompt is too long: ${tokens} tokens > ${contextTokens} maximum` : undefined,
  },
]

/** Every rule but the one on the signatures of thinking, which needs to know what the provider signed. */
export const rules: readonly Rule[] = [
  ...shapeRules,
  ...toolRules,
  ...thinkingRules,
  ...contentRules,
  ...compactionRules,
  ...outputRules,
]
