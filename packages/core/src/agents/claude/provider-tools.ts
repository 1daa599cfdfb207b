/** Tools that the provider runs: its own, and those of MCP servers that it connects to. Options in, fields of the request out. */
import { z } from 'zod'
import { raceSignal } from '../../async/race-signal.ts'
import type { RunScope } from '../../ports/agent.ts'

/** The header of requests with MCP servers, or with blocks of them ("MCP connector"). */
export const mcpBeta = 'mcp-client-2025-11-20'

/** The versions that every model takes; a newer one is named by its `type`. */
const shorthands = {
  web_search: { type: 'web_search_20250305', name: 'web_search' },
  web_fetch: { type: 'web_fetch_20250910', name: 'web_fetch' },
  code_execution: { type: 'code_execution_20250825', name: 'code_execution' },
} as const

/** A tool that the provider runs: its name, or the definition that the API takes, which is passed on as it is. */
export const ServerTool = z.union([
  z.enum(['web_search', 'web_fetch', 'code_execution']),
  z.looseObject({ type: z.string().min(1), name: z.string().min(1) }),
])
export type ServerTool = z.infer<typeof ServerTool>

/** Makes the token of one run, of the principal who asks for example. It is sent to the provider and never stored. */
export type McpToken = (
  scope: RunScope & { readonly signal: AbortSignal },
) => string | undefined | Promise<string | undefined>

/** An MCP server that the provider connects to by itself. */
export const McpServer = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'must have 1 to 64 letters, digits, _ or -'),
  url: z.url({ protocol: /^https?$/ }),
  /** Sent to the server by the provider. */
  authorizationToken: z
    .union([z.string().min(1), z.custom<McpToken>((value) => typeof value === 'function')])
    .optional(),
  /** Which of its tools the model may call, as the API's `mcp_toolset` takes it: `{ default_config, configs }`. @default all */
  toolset: z.record(z.string(), z.json()).optional(),
})
export type McpServer = z.infer<typeof McpServer>

export interface ProviderTools {
  readonly serverTools: readonly ServerTool[]
  readonly mcpServers: readonly McpServer[]
}

/** The provider's tools as the request names them; the same for every run. */
export function toProviderToolParams({ serverTools, mcpServers }: ProviderTools): object[] {
  const tools = serverTools.map((tool) => (typeof tool === 'string' ? shorthands[tool] : tool))
  return [
    ...tools,
    ...mcpServers.map(({ name, toolset }) => ({ type: 'mcp_toolset', mcp_server_name: name, ...toolset })),
  ]
}

/** The servers as the request names them. */
export interface McpServerParam {
  readonly type: 'url'
  readonly name: string
  readonly url: string
  readonly authorization_token?: string
}

/** `servers` with the tokens of one run. @throws what a token's function throws */
export async function connectMcpServers(
  servers: readonly McpServer[],
  { runId, sessionId, principal, session, input }: RunScope,
  signal: AbortSignal,
): Promise<McpServerParam[]> {
  const connecting = servers.map(async ({ name, url, authorizationToken }): Promise<McpServerParam> => {
    const isMade = typeof authorizationToken === 'function'
    const token = isMade
      ? await authorizationToken({ runId, sessionId, principal, session, input, signal })
      : authorizationToken
    return { type: 'url', name, url, ...(token === undefined ? {} : { authorization_token: token }) }
  })
  return await raceSignal(Promise.all(connecting), signal)
}
