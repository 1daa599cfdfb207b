import {
  AfterInvocationEvent,
  AfterModelCallEvent,
  AfterToolCallEvent,
  BeforeModelCallEvent,
  BeforeToolCallEvent,
  BeforeToolsEvent,
  InitializedEvent,
  MessageAddedEvent,
  ModelStreamUpdateEvent,
  SessionManager,
} from '@strands-agents/sdk'
import type { Graph, LocalAgent, Swarm } from '@strands-agents/sdk'
import type { SessionManager as VerbatimSession } from '@verbatim/core/server'
import { AgentTranscript, last } from './agent-transcript.ts'
import { createMultiAgentStates, noCheckpoints } from './multi-agent-states.ts'
import { SessionWriter } from './session-writer.ts'

type MultiAgentSave = Parameters<SessionManager['saveSnapshot']>[0]
type Saved = { target: LocalAgent; isLatest: boolean } | MultiAgentSave
type MultiAgentRestore = Parameters<SessionManager['restoreSnapshot']>[0]
type Restored = { target: LocalAgent; snapshotId?: string } | MultiAgentRestore

/**
 * Session persistence for agents, Graphs and Swarms of Strands, on MongoDB. Give it to an agent as its `sessionManager`, or among its
 * `plugins`.
 *
 * The session keeps every message for good, while the agent holds its window. A message costs the same however long the session is, and
 * is stored before the agent goes on; a call of a tool, before the tool runs. A new agent of the same id goes on where the last one was.
 * One process writes at a time: another one that has not seen the newest message is refused (`HEAD_MOVED`, `STATE_MOVED`) before it
 * stores anything, and begins again with a new agent. Strands must not restore an agent's system prompt: it is the program's.
 *
 * @example
 * const session = factory.createSessionManager({ sessionId: 'User-123' })
 * const agent = new Agent({ model, sessionManager: new StrandsSession(session) })
 */
export class StrandsSession extends SessionManager {
  readonly #session: VerbatimSession
  readonly #writer: SessionWriter
  readonly #agents = new WeakMap<LocalAgent, AgentTranscript>()

  /** @param session of the owner who asks; the program closes it */
  constructor(session: VerbatimSession) {
    const writer = new SessionWriter(session)
    // Strands' own ids are narrower than ours. It stores by ours, see `createMultiAgentStates`.
    super({ sessionId: 'verbatim', storage: { snapshot: createMultiAgentStates(writer) } })
    this.#session = session
    this.#writer = writer
  }

  override get name(): string {
    return 'verbatim:session'
  }

  override get sessionId(): string {
    return this.#session.sessionId
  }

  /** @throws VerbatimError `INVALID_CONFIGURATION` for an agent whose id is none of ours */
  override initAgent(agent: LocalAgent): void {
    const transcript = new AgentTranscript(agent, this.#writer)
    this.#agents.set(agent, transcript)
    agent.addHook(InitializedEvent, async () => void (await transcript.restore()), last)
    agent.addHook(BeforeModelCallEvent, () => transcript.beginCall(), last)
    agent.addHook(ModelStreamUpdateEvent, (event) => transcript.addToCall(event), last)
    agent.addHook(AfterModelCallEvent, async (event) => await transcript.endCall(event), last)
    agent.addHook(MessageAddedEvent, async (event) => await transcript.add(event), last)
    agent.addHook(BeforeToolsEvent, async ({ message }) => await transcript.store(message), last)
    agent.addHook(BeforeToolCallEvent, (event) => transcript.tools.begin(event), last)
    agent.addHook(AfterToolCallEvent, (event) => transcript.tools.end(event), last)
    agent.addHook(AfterInvocationEvent, async () => await transcript.save(), last)
  }

  /**
   * Stores the newest state now. An agent's is stored after each invocation, and an orchestrator's after each node.
   *
   * @throws VerbatimError `INVALID_CONFIGURATION` unless `isLatest`: the transcript has every message, so there are no other snapshots
   */
  override async saveSnapshot(params: Saved): Promise<void> {
    if (!params.isLatest) throw noCheckpoints()
    if (isAgent(params.target)) await this.#agents.get(params.target)?.save()
    else await super.saveSnapshot(params as MultiAgentSave)
  }

  /** Gives the agent or the orchestrator what is stored of it; false when there is nothing. */
  override async restoreSnapshot(params: Restored): Promise<boolean> {
    if (params.snapshotId !== undefined && params.snapshotId !== 'latest') throw noCheckpoints()
    if (isAgent(params.target)) return (await this.#agents.get(params.target)?.restore()) ?? false
    return await super.restoreSnapshot(params as MultiAgentRestore)
  }

  /** None: see {@link saveSnapshot}. */
  override listSnapshotIds(): Promise<string[]> {
    return Promise.resolve([])
  }

  /** Deletes the session for good, with its messages and states. */
  override async deleteSession(): Promise<void> {
    await this.#session.delete()
  }
}

function isAgent(target: LocalAgent | Graph | Swarm): target is LocalAgent {
  return 'messages' in target
}
