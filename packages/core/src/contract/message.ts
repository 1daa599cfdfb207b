import { z } from 'zod'
import { ContentBlock } from './content-block.ts'
import { DataPart } from './data-part.ts'
import { JsonValue } from './json-value.ts'
import { AgentId, MessageId, RunId, SessionId } from './identifiers.ts'
import { RunMetrics } from './metrics.ts'

/** Whether a message is complete, or else how its run ended. */
export const MessageStatus = z.enum(['completed', 'refused', 'failed', 'cancelled', 'interrupted'])
export type MessageStatus = z.infer<typeof MessageStatus>

/** The side that says a message. */
export const MessageRole = z.enum(['user', 'assistant'])
export type MessageRole = z.infer<typeof MessageRole>

/** One stored turn of a role. */
export const Message = z.strictObject({
  id: MessageId,
  sessionId: SessionId,
  /** Dense position in the session, from 1. */
  seq: z.int().positive(),
  role: MessageRole,
  content: z.array(ContentBlock),
  /** On a prompt: what its agent received beside it, as the agent's schema answered it. Absent where there is none. */
  input: JsonValue.optional(),
  status: MessageStatus,
  /** The agent that answered; null on prompts, and on appended messages that name none. */
  agentId: AgentId.nullable(),
  /** The run that this message asks or that made it; null for an appended message. */
  runId: RunId.nullable(),
  /**
   * The run that the run of this message continues. The server, not a person, wrote a user message that has it; an assistant message
   * that has it is the rest of an answer, which was interrupted or reached its greatest length.
   */
  continuationOf: RunId.nullable(),
  /** On an assistant message: the run whose answer this one replaces; agents no longer receive that answer. */
  retryOf: RunId.nullable(),
  /** On a prompt: the run whose prompt it takes the place of; that turn and all after it are replaced. Absent where there is none. */
  editOf: RunId.optional(),
  /** The answer as the agent's output schema asks for it; null where the agent has none, and where the run did not complete. */
  output: JsonValue.nullable(),
  /** On an assistant message: what the agent and its tools emitted, the newest of each name and id, in the order of their first. */
  data: z.array(DataPart),
  /** On assistant messages of a run, and on appended ones that bring them. */
  metrics: RunMetrics.nullable(),
  createdAt: z.iso.datetime(),
})
export type Message = z.infer<typeof Message>

/** How a message stands to the others of its session. */
export type MessageLinks = Pick<Message, 'role' | 'runId' | 'continuationOf' | 'retryOf' | 'editOf'>

/**
 * The messages, oldest first, without the answers that others replace. What continued such an answer goes with it: its parts are one
 * answer.
 */
export function withoutReplaced<TMessage extends MessageLinks>(
  messages: readonly TMessage[],
  newer: readonly Pick<MessageLinks, 'retryOf' | 'editOf'>[] = [],
): TMessage[] {
  const replaced = new Set<string | null>([...messages, ...newer].map(({ retryOf }) => retryOf))
  replaced.delete(null)
  return withoutEdited(messages, newer).filter(({ role, runId, continuationOf }) => {
    const continues = replaced.has(continuationOf)
    if (continues) replaced.add(runId)
    return !continues && (role === 'user' || !replaced.has(runId))
  })
}

/** Without the turns that an edited prompt replaces: that of the prompt, and all between the two. */
function withoutEdited<TMessage extends MessageLinks>(
  messages: readonly TMessage[],
  newer: readonly Pick<MessageLinks, 'editOf'>[],
): readonly TMessage[] {
  if (messages.every(isOriginal) && newer.every(isOriginal)) return messages
  const line: TMessage[] = []
  for (const message of messages) {
    const { editOf } = message
    if (editOf !== undefined) {
      const at = indexOfPrompt(line, editOf)
      if (at !== -1) line.length = at
      // Else it was replaced before, or it is older than all of these.
      else if (indexOfPrompt(messages, editOf) === -1) line.length = 0
    }
    line.push(message)
  }
  for (const { editOf } of newer) {
    const at = editOf === undefined ? -1 : indexOfPrompt(line, editOf)
    if (at !== -1) line.length = at
  }
  return line
}

function isOriginal({ editOf }: Pick<MessageLinks, 'editOf'>): boolean {
  return editOf === undefined
}

function indexOfPrompt(messages: readonly MessageLinks[], run: RunId): number {
  return messages.findIndex(({ role, runId, continuationOf }) => {
    return role === 'user' && runId === run && continuationOf === null
  })
}
