import type { AgentState, AgentStateName } from '../contract/agent-state.ts'
import type { SessionId } from '../contract/identifiers.ts'
import type { JsonValue } from '../contract/json-value.ts'
import type { Owner } from '../contract/principal.ts'

/** A state to store. */
export interface NewAgentState {
  readonly sessionId: SessionId
  readonly name: AgentStateName
  readonly state: JsonValue
  /** The revision that the writer has read; 0 when there was none. */
  readonly expectedRevision: number
}

/** What agents keep of a session beside its messages. Every call takes the owner; another owner's states count as missing. */
export interface AgentStates {
  /** @throws VerbatimError `SESSION_DELETED`, `UNAVAILABLE` */
  read(owner: Owner, state: Pick<NewAgentState, 'sessionId' | 'name'>): Promise<AgentState | undefined>
  /**
   * Stores the state in place of the one that the writer has read.
   *
   * @throws VerbatimError `STATE_MOVED` when another writer was first, `SESSION_NOT_FOUND`, `SESSION_DELETED`, `UNAVAILABLE`
   */
  write(owner: Owner, state: NewAgentState): Promise<AgentState>
}
