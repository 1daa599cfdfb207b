/** Resumable streams over Redis, as the guides of the AI SDK and of resumable-stream have them. */
import {
  convertToModelMessages,
  createUIMessageStreamResponse,
  generateId,
  streamText,
  toUIMessageStream,
  UI_MESSAGE_STREAM_HEADERS,
} from 'ai'
import type { LanguageModel, UIMessage } from 'ai'
import { createResumableStreamContext } from 'resumable-stream'

interface StoredChat {
  readonly messages: readonly UIMessage[]
  readonly activeStreamId: string | null
}

const chats = new Map<string, StoredChat>()
const streams = createResumableStreamContext({ waitUntil: null })

export function loadChat(id: string): StoredChat {
  return chats.get(id) ?? { messages: [], activeStreamId: null }
}

export async function sendMessage(model: LanguageModel, request: Request): Promise<Response> {
  const { id, messages } = (await request.json()) as { id: string; messages: UIMessage[] }
  const result = streamText({ model, messages: await convertToModelMessages(messages) })
  return createUIMessageStreamResponse({
    stream: toUIMessageStream({
      stream: result.stream,
      originalMessages: messages,
      generateMessageId: generateId,
      onEnd: (end) => void chats.set(id, { messages: end.messages, activeStreamId: null }),
    }),
    async consumeSseStream({ stream }) {
      const activeStreamId = generateId()
      await streams.createNewResumableStream(activeStreamId, () => stream)
      chats.set(id, { messages, activeStreamId })
    },
  })
}

export async function resumeChat(id: string): Promise<Response> {
  const { activeStreamId } = loadChat(id)
  if (activeStreamId === null) return new Response(null, { status: 204 })
  const stream = await streams.resumeExistingStream(activeStreamId)
  if (stream === null || stream === undefined) return new Response(null, { status: 204 })
  return new Response(stream.pipeThrough(new TextEncoderStream()), { headers: UI_MESSAGE_STREAM_HEADERS })
}
