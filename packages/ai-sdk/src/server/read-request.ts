/** The requests of `useChat`'s transports. They bring more than is read: fields that are not known here are the application's own. */
import {
  AgentId,
  describeIssue,
  excessOfText,
  refuseExcess,
  RunId,
  RunInput,
  SessionId,
  VerbatimError,
} from '@verbatim/core'
import type { EndpointCall } from '@verbatim/api'
import { z } from 'zod'
import { withLastMessage } from './last-message.ts'

/** How large requests may be. */
export interface RequestLimits {
  readonly maxBodyBytes: number
  readonly maxMessageBytes: number
}

const maxParts = 100
const messageId = z.string().min(1).max(256)

/** The client's new message. Its earlier ones are not read. */
const UserMessage = z.looseObject({
  id: messageId,
  role: z.literal('user', 'the last message must be of the user: results of tools are not sent to this server'),
  parts: z
    .array(z.looseObject({ type: z.string() }))
    .min(1)
    .max(maxParts),
})
export type UserMessage = z.infer<typeof UserMessage>

const ChatRequest = z.object({
  id: SessionId,
  message: UserMessage,
  trigger: z.enum(['submit-message', 'regenerate-message']).default('submit-message'),
  messageId: messageId.optional(),
  agentId: AgentId.optional(),
  input: RunInput.optional(),
})
export type ChatRequest = z.infer<typeof ChatRequest>

/** @throws VerbatimError `INVALID_INPUT`, `PAYLOAD_TOO_LARGE`, `UNSUPPORTED_MEDIA_TYPE` */
export async function readChatRequest(call: EndpointCall, limits: RequestLimits): Promise<ChatRequest> {
  // WorkflowChatTransport names no type.
  const bytes = call.readBody({ maxBytes: limits.maxBodyBytes, acceptsText: true })
  const body = parseJson(await withLastMessage(bytes, limits.maxMessageBytes))
  if (typeof body !== 'object' || body === null) throw invalid('', 'The body is no JSON object')
  const { messages } = body as { messages?: unknown } // checked next
  return parse(ChatRequest, Array.isArray(messages) ? { ...body, message: messages.at(-1) } : body)
}

const StopRequest = z.object({ activeStreamId: z.string().nullish() })

/** The run that the client means; undefined for whichever is active. The body may be empty, and may bring the client's copy of the answer. */
export async function readStopRequest(call: EndpointCall, limits: RequestLimits): Promise<string | undefined> {
  const bytes = call.readBody({ maxBytes: limits.maxMessageBytes, acceptsText: true })
  const text = await withLastMessage(bytes, limits.maxMessageBytes)
  if (text.trim() === '') return undefined
  return parse(StopRequest, parseJson(text)).activeStreamId ?? undefined
}

/** @throws VerbatimError `INVALID_INPUT` */
export function readChatId(call: EndpointCall): SessionId {
  return parse(z.object({ id: SessionId }), { id: call.params.get('id') }).id
}

/** The id of a run, when `text` is one. */
export function readRunId(text: string): RunId | undefined {
  return RunId.safeParse(text).data
}

/** @throws VerbatimError `INVALID_INPUT` */
export function readStartIndex({ query }: EndpointCall): number | undefined {
  const text = query.get('startIndex')
  if (text === null) return undefined
  if (/^-?\d{1,9}$/.test(text)) return Number(text)
  throw invalid('startIndex', 'startIndex: must be a whole number')
}

/** @throws VerbatimError `INVALID_INPUT` */
export function readIdempotencyKey({ headers }: EndpointCall): RunId | undefined {
  const key = headers.get('idempotency-key')
  if (key === null) return undefined
  return readRunId(key) ?? fail(invalid('Idempotency-Key', 'Idempotency-Key: must be a UUID, the id of a run'))
}

export function invalid(field: string, message: string): VerbatimError {
  return new VerbatimError('INVALID_INPUT', message, { data: { field } })
}

function fail(error: VerbatimError): never {
  throw error
}

function parse<TSchema extends z.ZodType>(schema: TSchema, value: unknown): z.infer<TSchema> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const { field, reason } = describeIssue(parsed.error.issues[0])
  throw invalid(field, field === '' ? reason : `${field}: ${reason}`)
}

function parseJson(text: string): unknown {
  refuseExcess(excessOfText(text))
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new VerbatimError('INVALID_INPUT', 'The body is not JSON', { data: { field: '' }, cause })
  }
}
