import type { EndpointCall, EndpointResponse } from '@verbatim/api'
import type { FileOptions } from '../ui/file-part.ts'
import { toUIMessages } from '../ui/to-ui-messages.ts'
import { orMissing } from './answer-run.ts'
import { readChatId } from './read-request.ts'

/** Messages of one page. */
const limit = 50

/**
 * GET: the newest messages of a chat, as `useChat` takes them, and the cursor to older ones. A chat that is new has none.
 *
 * @throws VerbatimError `INVALID_CURSOR`, `SESSION_DELETED`
 */
export async function loadChat(call: EndpointCall, files: FileOptions): Promise<EndpointResponse> {
  const { engine, owner, query } = call
  const request = { order: 'newest', limit, cursor: query.get('cursor') ?? undefined } as const
  const page = await orMissing('SESSION_NOT_FOUND', engine.messages.list(owner, readChatId(call), request))
  const { items = [], nextCursor = null } = page ?? {}
  return { status: 200, json: { messages: toUIMessages(items, files), nextCursor } }
}
