import { useEffect, useState } from 'react'

/** What the server tells the page about itself. */
export interface ServerConfig {
  readonly model: string
  /** True when a local demo model answers in Claude's place. */
  readonly isDemo: boolean
  /** The line that starts the server with Claude; null when it is Claude already. */
  readonly switchCommand: string | null
  /** True when the server answers only callers with a token. */
  readonly needsToken: boolean
}

const retryMs = { first: 1_000, longest: 15_000 }

/** The server's configuration: undefined until the first answer, null while the server cannot be reached or tells none. */
export function useServerConfig(): ServerConfig | null | undefined {
  const [config, setConfig] = useState<ServerConfig | null>()
  useEffect(() => {
    const controller = new AbortController()
    void loadUntilThere(controller.signal, setConfig)
    return () => controller.abort()
  }, [])
  return config
}

async function loadUntilThere(signal: AbortSignal, onResult: (config: ServerConfig | null) => void): Promise<void> {
  for (let waitMs = retryMs.first; !signal.aborted; waitMs = Math.min(waitMs * 2, retryMs.longest)) {
    try {
      const config = await loadServerConfig(signal)
      return signal.aborted ? undefined : onResult(config)
    } catch {
      if (!signal.aborted) onResult(null)
      await new Promise((resolve) => setTimeout(resolve, waitMs))
    }
  }
}

/** @throws when the server cannot be reached */
async function loadServerConfig(signal: AbortSignal): Promise<ServerConfig | null> {
  const response = await fetch('/config.json', { signal })
  if (response.status >= 500) throw new Error('The server is starting or a gateway stands in its place')
  return response.ok ? toServerConfig(await response.json()) : null
}

/** Null when `value` is not a server's configuration. */
function toServerConfig(value: unknown): ServerConfig | null {
  if (typeof value !== 'object' || value === null) return null
  const { model, isDemo, switchCommand, needsToken } = value as Partial<Record<keyof ServerConfig, unknown>> // the parse border
  if (typeof model !== 'string' || typeof isDemo !== 'boolean') return null
  const command = typeof switchCommand === 'string' ? switchCommand : null
  return { model, isDemo, switchCommand: command, needsToken: needsToken === true }
}
