import { useEffect, useState } from 'react'

/** What the server tells the page about itself. */
export interface ServerConfig {
  readonly model: string
  /** True when a local demo model answers in Claude's place. */
  readonly isDemo: boolean
  /** The line that starts the server with Claude; null when it is Claude already. */
  readonly switchCommand: string | null
}

/** The server's configuration, loaded when the server can be reached; null until it is here, and when the server tells none. */
export function useServerConfig(isReachable: boolean): ServerConfig | null {
  const [config, setConfig] = useState<ServerConfig | null>(null)
  useEffect(() => {
    if (!isReachable) return
    const controller = new AbortController()
    loadServerConfig(controller.signal).then(setConfig, () => {}) // the page works without: only the banner needs it
    return () => controller.abort()
  }, [isReachable])
  return config
}

async function loadServerConfig(signal: AbortSignal): Promise<ServerConfig | null> {
  const response = await fetch('/config.json', { signal })
  return response.ok ? toServerConfig(await response.json()) : null
}

/** Null when `value` is not a server's configuration. */
function toServerConfig(value: unknown): ServerConfig | null {
  if (typeof value !== 'object' || value === null) return null
  const { model, isDemo, switchCommand } = value as Partial<Record<keyof ServerConfig, unknown>> // the parse border
  if (typeof model !== 'string' || typeof isDemo !== 'boolean') return null
  return { model, isDemo, switchCommand: typeof switchCommand === 'string' ? switchCommand : null }
}
