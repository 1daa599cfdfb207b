/** What a caller gives beside the prompt is the agent's to judge: what does not fit its schema is refused before anything is stored. */
import { isJson } from '../../contract/json-value.ts'
import type { JsonValue } from '../../contract/json-value.ts'
import { describeIssue } from '../../contract/describe-issue.ts'
import { VerbatimError } from '../../contract/errors.ts'
import type { StartRunInput } from '../../contract/run.ts'
import { requireRunInputSize } from '../../contract/run-input.ts'
import type { Owner } from '../../contract/principal.ts'
import type { Agent } from '../../ports/agent.ts'
import type { EngineContext } from '../engine-context.ts'

/**
 * The input as the agent's schema answers it. A run that is stored already is not refused, whatever the schema is now: the repeated call
 * receives the same run.
 *
 * @throws VerbatimError `INVALID_INPUT` naming the place in the input, `MESSAGE_TOO_LARGE`; `INVALID_CONFIGURATION` when the schema
 * answers what is not JSON
 */
export async function checkRunInput(
  { ports }: EngineContext,
  { owner, agent }: { owner: Owner; agent: Agent },
  { runId, input }: Pick<StartRunInput, 'runId' | 'input'>,
): Promise<JsonValue | undefined> {
  requireRunInputSize(input)
  if (agent.input === undefined && input === undefined) return undefined
  const { value, fault } = await parseInput(agent, input)
  if (fault === undefined) return value
  if ((await ports.runRepository.getRun(owner, runId)) === undefined) throw fault
  return undefined
}

interface Parsed {
  readonly value?: JsonValue | undefined
  readonly fault?: VerbatimError
}

async function parseInput(agent: Agent, input: JsonValue | undefined): Promise<Parsed> {
  if (agent.input === undefined) return { fault: invalid('input', 'The agent takes no input; leave it out') }
  const parsed = await agent.input.safeParseAsync(input)
  if (!parsed.success) {
    const { field, reason } = describeIssue(parsed.error.issues[0])
    const path = field === '' ? 'input' : `input.${field}`
    return { fault: invalid(path, `${path}: ${reason}`) }
  }
  if (parsed.data === undefined) return {}
  if (!isJson(parsed.data)) {
    throw new VerbatimError('INVALID_CONFIGURATION', `The input schema of agent ${agent.id} must answer JSON`)
  }
  requireRunInputSize(parsed.data)
  return { value: parsed.data }
}

function invalid(field: string, message: string): VerbatimError {
  return new VerbatimError('INVALID_INPUT', message, { data: { field } })
}
