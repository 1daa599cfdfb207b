/** The real server of apps/server as a process of its own, on a database of its own. */
// oxlint-disable-next-line no-restricted-imports -- only to make a database and drop it; the command talks through the client
import { openTestDatabase } from '@verbatim/core/testing'
import { startServerProgram } from '@verbatim/test-kit/process'

export interface TestServer extends AsyncDisposable {
  readonly url: string
}

const mainFile = new URL('../../../server/src/main.ts', import.meta.url)

export async function startServer(input: {
  mongoUri: string
  providerUrl: string
  tokens?: string
}): Promise<TestServer> {
  const database = await openTestDatabase(input.mongoUri)
  const env = {
    PORT: '0',
    MONGODB_URI: input.mongoUri,
    VERBATIM_DATABASE: database.databaseName,
    ANTHROPIC_BASE_URL: input.providerUrl,
    VERBATIM_TOKENS: input.tokens ?? '',
  }
  const { url, [Symbol.asyncDispose]: kill } = await startServerProgram(mainFile, { env })
  return {
    url,
    async [Symbol.asyncDispose]() {
      await kill()
      await database[Symbol.asyncDispose]()
    },
  }
}
