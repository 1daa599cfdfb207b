/** The real server of apps/server as a process of its own, on a database of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
// oxlint-disable-next-line no-restricted-imports -- only to make a database and drop it; the command talks through the client
import { openTestDatabase } from '@verbatim/core/testing'

export interface TestServer extends AsyncDisposable {
  readonly url: string
}

const mainFile = fileURLToPath(new URL('../../../server/src/main.ts', import.meta.url))

export async function startServer(input: {
  mongoUri: string
  providerUrl: string
  tokens?: string
}): Promise<TestServer> {
  const database = await openTestDatabase(input.mongoUri)
  const child = spawn(process.execPath, ['--conditions=verbatim-source', mainFile], {
    env: {
      PORT: '0',
      MONGODB_URI: input.mongoUri,
      VERBATIM_DATABASE: database.databaseName,
      ANTHROPIC_BASE_URL: input.providerUrl,
      VERBATIM_DRAIN_MS: '0',
      VERBATIM_TOKENS: input.tokens ?? '',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  return {
    url: await announcedUrl(child.stdout),
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await exited
      await database[Symbol.asyncDispose]()
    },
  }
}

async function announcedUrl(stdout: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface({ input: stdout })) {
    const url = /open (http:\S+)/.exec(line)?.[1]
    if (url !== undefined) return url
  }
  throw new Error('The server ended before it was ready')
}
