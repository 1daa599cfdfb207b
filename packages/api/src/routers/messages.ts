import { ContentInput, Message, MessageId, MessageRole, PageInput, pageOf, SessionId } from '@verbatim/core'
import { z } from 'zod'
import type { Procedures } from '../procedures.ts'
import { t } from '../trpc.ts'

const ListMessagesInput = PageInput.extend({
  sessionId: SessionId,
  order: z.enum(['oldest', 'newest']).default('oldest'),
})
const MessageInput = z.strictObject({ sessionId: SessionId, messageId: MessageId })
const AppendMessageInput = z.strictObject({
  sessionId: SessionId,
  role: MessageRole,
  content: ContentInput,
  /** Makes the append repeatable: the same id and content again is the same message. */
  messageId: MessageId.optional(),
  /** Append only when the session has exactly this many messages. */
  expectedHead: z.int().nonnegative().optional(),
})

export function createMessagesRouter({ authedProcedure }: Procedures) {
  return t.router({
    list: authedProcedure
      .input(ListMessagesInput)
      .output(pageOf(Message))
      .query(
        async ({ ctx, input: { sessionId, ...page } }) => await ctx.engine.messages.list(ctx.owner, sessionId, page),
      ),
    get: authedProcedure
      .input(MessageInput)
      .output(Message)
      .query(async ({ ctx, input }) => await ctx.engine.messages.get(ctx.owner, input.sessionId, input.messageId)),
    append: authedProcedure
      .input(AppendMessageInput)
      .output(Message)
      .mutation(async ({ ctx, input }) => await ctx.engine.messages.append(ctx.owner, input)),
  })
}
