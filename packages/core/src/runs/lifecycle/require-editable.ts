import { errorOf } from '../../contract/errors.ts'
import type { Owner } from '../../contract/principal.ts'
import type { StartRunInput } from '../../contract/run.ts'
import type { EngineContext } from '../engine-context.ts'

/**
 * A prompt takes the place of another prompt of the same session: of the run that has stored it, so of no retry and no continuation.
 *
 * @throws VerbatimError `RUN_NOT_FOUND`
 */
export async function requireEditable(
  { ports }: EngineContext,
  owner: Owner,
  { sessionId, editOf }: Pick<StartRunInput, 'sessionId' | 'editOf'>,
): Promise<void> {
  if (editOf === undefined) return
  const run = await ports.runRepository.getRun(owner, editOf)
  const hasPrompt = run?.sessionId === sessionId && run.continuationOf === null && run.retryOf === null
  if (!hasPrompt) throw errorOf('RUN_NOT_FOUND', { data: { field: 'editOf' } })
}
