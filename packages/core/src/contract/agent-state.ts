/** What an agent keeps of a session beside its messages: a JSON document with a name and a revision. */
import { z } from 'zod'
import { unstorableOf } from './content-input.ts'
import { VerbatimError } from './errors.ts'
import { SessionId } from './identifiers.ts'
import { JsonValue } from './json-value.ts'

/** The name of a state: the agent's own, such as `strands/agent/helper`. */
export const AgentStateName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._/:@~-]{0,199}$/, 'Use 1 to 200 letters, digits or . _ / : @ ~ -')
export type AgentStateName = z.infer<typeof AgentStateName>

/** The largest state, in bytes of its JSON. It is read and written whole, so what grows with the session is not its place. */
export const maxAgentStateBytes = 4 * 1024 * 1024

/** A stored state. */
export const AgentState = z.strictObject({
  sessionId: SessionId,
  name: AgentStateName,
  /** 1 for the first state of this name, and one more with each write. */
  revision: z.int().positive(),
  state: JsonValue,
  updatedAt: z.iso.datetime(),
})
export type AgentState = z.infer<typeof AgentState>

/** @throws VerbatimError `INVALID_INPUT`, `MESSAGE_TOO_LARGE` */
export function requireState(name: string, state: unknown): asserts state is JsonValue {
  const named = AgentStateName.safeParse(name)
  if (!named.success) throw invalid('name', named.error.issues[0]?.message ?? 'is wrong')
  if (!JsonValue.safeParse(state).success) throw invalid('state', 'Must be JSON')
  const unstorable = unstorableOf(state)
  if (unstorable !== undefined) throw invalid('state', unstorable)
  if (new TextEncoder().encode(JSON.stringify(state)).length <= maxAgentStateBytes) return
  throw new VerbatimError('MESSAGE_TOO_LARGE', `The state is over ${maxAgentStateBytes} bytes; keep less in it`, {
    data: { maxBytes: maxAgentStateBytes, field: 'state' },
  })
}

function invalid(field: string, reason: string): VerbatimError {
  return new VerbatimError('INVALID_INPUT', `${field}: ${reason}`, { data: { field } })
}
