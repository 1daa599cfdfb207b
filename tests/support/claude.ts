/** The real Claude agent against a fake provider. */
import { LLMock } from '@copilotkit/aimock'
import type { MockServerOptions } from '@copilotkit/aimock'
import { claude } from '@verbatim/core/claude'
import type { ClaudeOptionsInput } from '@verbatim/core/claude'
import type { Agent } from '@verbatim/core/server'

/** What the agents of {@link claudeAt} authenticate with; no user may ever see it. */
export const providerKey = 'sk-ant-secret-of-the-test'

/** The real agent over the real SDK; retries follow at once unless the provider asks for a wait. */
export function claudeAt(url: string, options: ClaudeOptionsInput = {}): Agent {
  return claude({ apiKey: providerKey, baseURL: url, random: () => 0, ...options })
}

/** A running aimock, stopped when it is disposed of. */
export async function startAimock(options: MockServerOptions = {}): Promise<LLMock & AsyncDisposable> {
  const mock = new LLMock({ port: 0, host: '127.0.0.1', chunkSize: 6, strict: true, ...options })
  await mock.start()
  return Object.assign(mock, { [Symbol.asyncDispose]: async () => await mock.stop() })
}
