/** The endpoints that an unmodified `useChat` of the AI SDK talks to, for `createApi({ endpoints })`. */
import type { WhenBusy } from '@verbatim/core'
import type { Endpoint } from '@verbatim/api'
import type { FileOptions } from '../ui/file-part.ts'
import { answerStream, exposedHeaders } from './answer-stream.ts'
import { loadChat } from './load-chat.ts'
import { readChatRequest } from './read-request.ts'
import { resumeAnswer } from './resume-answer.ts'
import { startAnswer } from './start-answer.ts'
import { stopAnswer } from './stop-answer.ts'

/** Options of {@link aiSdkEndpoints}. */
export interface AiSdkOptions extends FileOptions {
  /** Comes after the API's `basePath`. @default "/api/chat", where `useChat` asks by itself */
  readonly path?: string
  /**
   * What a new message does while an answer goes on, see `runs.start`. By default it takes the answer's place: `stop()` of `useChat` only
   * closes the connection, so the answer that a person has stopped may go on at the server.
   *
   * @default "replace"
   */
  readonly whenBusy?: WhenBusy
  /** The largest request. `useChat` sends the whole conversation, of which the server reads the last message. @default 64 MiB */
  readonly maxBodyBytes?: number
  /** The largest message, with the files in it; it is held in memory. Larger files are attachments. @default 8 MiB */
  readonly maxMessageBytes?: number
}

const mib = 1024 * 1024

/**
 * `POST path`, `GET path/:id/stream` and `POST path/:id/stop`, and `GET path/:id` for the messages of a page's first load. A chat's id is its session's. The history is the server's: of a request only
 * the newest message of the user is read.
 *
 * @example
 * const api = createApi({ engine, authenticate, endpoints: aiSdkEndpoints() })
 * // in the page: useChat({ id: 'session-1', resume: true })
 */
export function aiSdkEndpoints(options: AiSdkOptions = {}): readonly Endpoint[] {
  const {
    path = '/api/chat',
    whenBusy = 'replace',
    maxBodyBytes = 64 * mib,
    maxMessageBytes = 8 * mib,
    ...files
  } = options
  const limits = { maxBodyBytes, maxMessageBytes }
  return [
    {
      path,
      exposedHeaders,
      methods: {
        async POST(call) {
          const request = await readChatRequest(call, limits)
          return answerStream(call, await startAnswer(call, request, whenBusy), files)
        },
      },
    },
    { path: `${path}/:id`, methods: { GET: async (call) => await loadChat(call, files) } },
    { path: `${path}/:id/stream`, methods: { GET: async (call) => await resumeAnswer(call, files) } },
    { path: `${path}/:id/stop`, methods: { POST: async (call) => await stopAnswer(call, limits) } },
  ]
}
