/** For the tests of agents: a conversation to send, and what the agent makes of it. */
import { startProvider } from '@verbatim/test-kit/provider'
import type { ProviderCall, ProviderReply } from '@verbatim/test-kit/provider'
import { AgentEvent } from '../../contract/event.ts'
import type { Message } from '../../contract/message.ts'
import type { Agent, AgentPing, AgentRequest } from '../../ports/agent.ts'
import type { Clock } from '../../ports/clock.ts'
import { agentRequest } from '../../testing/agent-request.ts'
import { claude } from '../claude.ts'
import type { ClaudeOptionsInput } from '../claude.ts'

/** What the agents of {@link claudeAt} authenticate with; no user may ever see it. */
export const secretKey = 'sk-ant-secret-of-the-test'

/** A signal that never aborts. */
export const never = new AbortController().signal

/** A clock that stands still. */
const stillClock: Clock = { now: () => new Date('2026-11-23T12:00:00.000Z'), monotonicMs: () => 0 }

export function claudeAt(baseURL: string, options: ClaudeOptionsInput = {}): Agent {
  return claude({ apiKey: secretKey, baseURL, random: () => 0, clock: stillClock, ...options })
}

/** Messages in turn, of the user first; an odd `firstSeq` begins with the user. */
export function messagesOf(turns: readonly (string | Partial<Message>)[], firstSeq = 1): Message[] {
  return turns.map((turn, at): Message => {
    const seq = firstSeq + at
    const given = typeof turn === 'string' ? { content: [{ type: 'text' as const, text: turn }] } : turn
    return {
      id: crypto.randomUUID(),
      sessionId: 'session-1',
      seq,
      role: seq % 2 === 1 ? 'user' : 'assistant',
      content: [],
      status: 'completed',
      agentId: null,
      runId: null,
      continuationOf: null,
      retryOf: null,
      output: null,
      data: [],
      metrics: null,
      createdAt: '2026-11-23T00:00:00.000Z',
      ...given,
    }
  })
}

export function requestOf(...turns: readonly (string | Partial<Message>)[]): AgentRequest {
  return agentRequest({ runId: '00000000-0000-4000-8000-000000000001', messages: messagesOf(turns) })
}

/** The events without the signs of life. */
export async function* withoutPings(events: AsyncIterable<AgentEvent | AgentPing>): AsyncGenerator<AgentEvent> {
  for await (const event of events) if (event.type !== 'ping') yield event
}

/** Everything the agent yields but signs of life, and what it threw in the end. */
export async function collect(
  events: AsyncIterable<AgentEvent | AgentPing>,
): Promise<{ events: AgentEvent[]; error: unknown }> {
  const collected: AgentEvent[] = []
  try {
    for await (const event of withoutPings(events)) collected.push(event)
    return { events: collected, error: undefined }
  } catch (error) {
    return { events: collected, error }
  }
}

export interface Asked {
  readonly events: AgentEvent[]
  readonly error: unknown
  readonly calls: readonly ProviderCall[]
}

/** Sends one prompt through the real SDK to a provider that answers its calls with `replies`. */
export async function ask(replies: readonly ProviderReply[], options: ClaudeOptionsInput = {}): Promise<Asked> {
  await using provider = await startProvider(...replies)
  const outcome = await collect(claudeAt(provider.url, options).stream(requestOf('My secret prompt'), never))
  for (const event of outcome.events) AgentEvent.parse(event)
  return { ...outcome, calls: provider.calls }
}
