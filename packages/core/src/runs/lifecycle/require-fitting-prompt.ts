/** An agent may be able to take less than the engine: a prompt that its model cannot answer is refused before it is stored. */
import type { ContentBlock } from '../../contract/content-block.ts'
import { VerbatimError } from '../../contract/errors.ts'
import type { RunId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { Agent } from '../../ports/agent.ts'
import type { EngineContext } from '../engine-context.ts'

/** A model does not read an image or a PDF as text, so its bytes say nothing of whether the prompt fits. */
function withoutFiles(key: string, value: unknown): unknown {
  const isFile =
    key === 'source' && typeof value === 'object' && value !== null && 'type' in value && value.type === 'base64'
  return isFile ? null : value
}

/**
 * A run that is stored already is not refused, whatever its agent has learned since: the repeated call receives the same run.
 *
 * @param prompt read only when the agent has a limit
 * @throws VerbatimError `MESSAGE_TOO_LARGE` naming the message and what the agent takes
 */
export async function requireFittingPrompt(
  { ports }: EngineContext,
  { owner, runId, agent }: { owner: Owner; runId: RunId; agent: Agent },
  prompt: () => readonly ContentBlock[] | Promise<readonly ContentBlock[]>,
): Promise<void> {
  if (agent.maxPromptBytes === undefined) return
  const bytes = Buffer.byteLength(JSON.stringify(await prompt(), withoutFiles))
  const maxBytes = agent.maxPromptBytes()
  if (!(bytes > maxBytes) || (await ports.runRepository.getRun(owner, runId)) !== undefined) return
  const message = `The message is too large for the agent, which takes about ${maxBytes} bytes; shorten or split it`
  throw new VerbatimError('MESSAGE_TOO_LARGE', message, { data: { field: 'message', maxBytes } })
}
