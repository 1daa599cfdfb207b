import { z } from 'zod'
import { ContentBlock } from './content-block.ts'
import { AgentId, MessageId, RunId, SessionId } from './identifiers.ts'
import { RunMetrics } from './metrics.ts'

/** How a message came to be as it is: whole, or the part that was there when its run ended otherwise. */
export const MessageStatus = z.enum(['completed', 'failed', 'cancelled', 'interrupted'])
export type MessageStatus = z.infer<typeof MessageStatus>

/** Who says a message. */
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
  status: MessageStatus,
  /** The agent that answered; null for a message nobody's run made. */
  agentId: AgentId.nullable(),
  /** The run that made or was asked by this message; null for an appended one. */
  runId: RunId.nullable(),
  /**
   * The interrupted run from which the run of this message goes on. A user message with it was written by the server, not by a
   * person; an assistant message with it is the rest of an answer.
   */
  continuationOf: RunId.nullable(),
  /** On an assistant message: the run whose answer this one takes the place of; agents are not given that one any more. */
  retryOf: RunId.nullable(),
  /** On assistant messages of a run. */
  metrics: RunMetrics.nullable(),
  createdAt: z.iso.datetime(),
})
export type Message = z.infer<typeof Message>
