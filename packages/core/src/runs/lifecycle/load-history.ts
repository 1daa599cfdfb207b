import { raceSignal } from '../../async/race-signal.ts'
import { sleep } from '../../async/sleep.ts'
import { isUnavailable } from '../../contract/errors.ts'
import { withoutReplaced } from '../../contract/message.ts'
import type { Message } from '../../contract/message.ts'
import type { Agent, AgentRequest } from '../../ports/agent.ts'
import type { OwnedRun } from '../../ports/run-repository.ts'
import type { EngineContext } from '../engine-context.ts'

/** What an agent receives of its session and of the prompt; see `AgentRequest`. */
type History = Pick<AgentRequest, 'messages' | 'hasOlder' | 'session' | 'input'>

/** Between two attempts, in milliseconds: each waits for the database by itself. */
const retryMs = 200

/**
 * {@link readHistory}, through an election of at most `selfFenceMs`, like the writes of the run's log.
 *
 * @throws VerbatimError `UNAVAILABLE` when the database is away for longer; the signal's reason as soon as it aborts
 */
export async function loadHistory(
  context: EngineContext,
  owned: OwnedRun,
  { agent, signal }: { agent: Agent; signal: AbortSignal },
): Promise<History> {
  const deadline = AbortSignal.timeout(context.options.selfFenceMs)
  while (true) {
    try {
      return await raceSignal(readHistory(context, owned, agent), signal)
    } catch (error) {
      if (signal.aborted || deadline.aborted || !isUnavailable(error)) throw error
    }
    await sleep(retryMs, signal)
  }
}

/**
 * The newest messages that a run's agent is given, oldest first, the prompt last: a window, so that a turn costs the same
 * however long the session is (P6). Answers that a retry has replaced are left out, and turns that a model has refused.
 */
async function readHistory(context: EngineContext, owned: OwnedRun, agent: Agent): Promise<History> {
  const { owner, run, continuationUsage } = owned
  // An answer in parts is one turn: the parts do not push its question out of the window.
  const { continuations, asked = 0 } = continuationUsage
  const limit = (agent.maxHistoryMessages ?? context.options.maxHistoryMessages) + 2 * (continuations + asked)
  const upTo = run.retryOf === null ? {} : { upToSeq: await seqOfPrompt(context, owned) }
  const request = { order: 'newest', limit, maxBytes: context.options.maxHistoryBytes, ...upTo } as const
  const list = async (more: { isLinearizable?: true }) =>
    await context.ports.sessionRepository.listMessages(owner, run.sessionId, { ...request, ...more })
  let newest = await list({})
  // An election may come between the prompt's commit and this read. While the run is active, its prompt is the newest message.
  if (newest.items[0]?.id !== run.userMessageId) newest = await list({ isLinearizable: true })
  const messages = withoutRefused(withoutReplaced(newest.items.toReversed()))
  const input = newest.items.find(({ id }) => id === run.userMessageId)?.input
  const session = { id: run.sessionId, title: await titleOf(context, owned) }
  return { messages, hasOlder: newest.nextCursor !== null, session, input }
}

/** Of a run that was taken over, the session is read: its beginning has seen the title, in another process. */
async function titleOf({ ports }: EngineContext, { owner, run, readTitle }: OwnedRun): Promise<string | null> {
  if (readTitle !== undefined) return await readTitle()
  return (await ports.sessionRepository.getSession(owner, run.sessionId))?.title ?? null
}

/** The messages after the prompt of a run that is retried are its failed attempts. */
async function seqOfPrompt({ ports }: EngineContext, { owner, run }: OwnedRun): Promise<number> {
  const prompt = await ports.sessionRepository.getMessage(owner, run.sessionId, run.userMessageId)
  if (prompt === undefined) throw new Error('The prompt of a run is not stored')
  return prompt.seq
}

/** A model that gets a refused turn again refuses the next one too. What was appended after the turn stays. */
function withoutRefused(messages: readonly Message[]): Message[] {
  return turnsOf(messages).flatMap((turn) => {
    const refusedAt = turn.findLastIndex(({ status }) => status === 'refused')
    return refusedAt === -1 ? turn : turn.slice(refusedAt + 1).filter(({ runId }) => runId === null)
  })
}

/** A prompt and all that came of it. The prompt of a continuation is the server's, and of the turn that it continues. */
function turnsOf(messages: readonly Message[]): Message[][] {
  const turns: Message[][] = []
  for (const message of messages) {
    const begins = turns.length === 0 || (message.role === 'user' && message.continuationOf === null)
    if (begins) turns.push([message])
    else turns.at(-1)?.push(message)
  }
  return turns
}
