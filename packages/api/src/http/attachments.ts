/**
 * POST /attachments and GET /attachments/:id. A file is the body itself, read as it is stored and sent as it is read. The answer's headers
 * make a file harmless, whatever is in it: no page can run it, embed it or guess another type.
 */
import { AttachmentId, AttachmentName, VerbatimError } from '@verbatim/core'
import type { Attachment } from '@verbatim/core'
import { requireCaller } from './chat-run.ts'
import { guardTransfer, jsonResponse, withinStall } from './exchange.ts'
import type { ApiParts, Exchange } from './exchange.ts'

export const uploadRoute = '/attachments'
export const downloadRoute = '/attachments/:id'

/** A type that no form of a foreign page can send without a preflight. */
const bodyType = 'application/octet-stream'

/** @throws VerbatimError `UNAUTHENTICATED`, `INVALID_INPUT`, `UNSUPPORTED_MEDIA_TYPE`; what the engine's upload throws */
export async function uploadAttachment(parts: ApiParts, exchange: Exchange): Promise<void> {
  const { engine, answers, transfers, options } = parts
  const { request, closed } = exchange
  try {
    const { owner } = await requireCaller(parts, exchange)
    const file = readHead(request.headers)
    const attachment = await transfers.pass(answers.callerOf(request), closed, async () => {
      const bytes = withinStall(exchange.readBytes(), options.stalledReaderTimeoutMs)
      return await engine.attachments.upload(owner, { ...file, bytes, signal: closed })
    })
    exchange.respond(jsonResponse(201, attachment))
  } catch (error) {
    // A sender that is still sending reads the answer only when its bytes have gone.
    exchange.discardBody()
    throw error
  }
}

/** What the headers say of the file. */
function readHead(headers: Headers) {
  const type = headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  if (type !== bodyType) {
    throw new VerbatimError('UNSUPPORTED_MEDIA_TYPE', `Send the file as ${bodyType}; its bytes tell its type`)
  }
  const key = headers.get('idempotency-key')
  const length = headers.get('content-length')
  return {
    id: key === null ? undefined : parseId(key, 'Idempotency-Key'),
    name: readName(headers.get('x-file-name')),
    sizeBytes: length === null ? undefined : Number(length),
  }
}

/** Percent-encoded UTF-8: a header's value is ASCII. */
function readName(header: string | null): AttachmentName {
  if (header === null) return 'file'
  const parsed = AttachmentName.safeParse(decoded(header))
  if (parsed.success) return parsed.data
  const reason = parsed.error.issues[0]?.message ?? 'Is malformed'
  throw new VerbatimError('INVALID_INPUT', `x-file-name: ${reason}`, { data: { field: 'x-file-name' } })
}

function decoded(header: string): string | undefined {
  try {
    return decodeURIComponent(header)
  } catch {
    return undefined // the schema refuses it
  }
}

function parseId(text: string, field: string): AttachmentId {
  const parsed = AttachmentId.safeParse(text)
  if (parsed.success) return parsed.data
  throw new VerbatimError('INVALID_INPUT', `${field}: must be a UUID, the id of an attachment`, { data: { field } })
}

/** @throws VerbatimError `UNAUTHENTICATED`, `INVALID_INPUT`, `ATTACHMENT_NOT_FOUND` */
export async function sendAttachment(parts: ApiParts, exchange: Exchange, id: string): Promise<void> {
  const { engine, answers, transfers } = parts
  const { request, closed } = exchange
  const { caller, owner } = await requireCaller(parts, exchange)
  await transfers.pass(answers.callerOf(request), closed, async () => {
    const { attachment, ...file } = await engine.attachments.open(owner, parseId(id, 'id'))
    const headers = headersOf(attachment)
    if (request.headers.get('if-none-match') === headers.etag) return exchange.respond({ status: 304, headers })
    const range = rangeOf(request.headers.get('range'), attachment.sizeBytes)
    const { start, end } = range ?? { start: 0, end: attachment.sizeBytes }
    const part = { ...headers, 'content-length': String(end - start) }
    const guard = guardTransfer(parts, { caller, request }, closed)
    try {
      const bytes = file.read({ range: { start, end }, signal: guard.signal })
      if (range === undefined) return await exchange.sendBytes({ status: 200, headers: part }, bytes)
      const contentRange = `bytes ${start}-${end - 1}/${attachment.sizeBytes}`
      await exchange.sendBytes({ status: 206, headers: { ...part, 'content-range': contentRange } }, bytes)
    } finally {
      guard.release()
    }
  })
}

function headersOf({ mediaType, name, sha256 }: Attachment) {
  return {
    'content-type': mediaType === 'text/plain' ? 'text/plain; charset=utf-8' : mediaType,
    'content-disposition': `attachment; filename*=UTF-8''${encodeName(name)}`,
    'content-security-policy': "sandbox; default-src 'none'",
    // A file never changes, and it is its reader's alone.
    'cache-control': 'private, max-age=300',
    vary: 'authorization, cookie, origin',
    etag: `"${sha256}"`,
    'accept-ranges': 'bytes',
  }
}

/** `value-chars` of RFC 8187. */
function encodeName(name: string): string {
  return encodeURIComponent(name).replace(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** One range of bytes. Any other form of the header is left out of account, as RFC 9110 (14.2) lets a server do. */
function rangeOf(header: string | null, sizeBytes: number): { start: number; end: number } | undefined {
  const [, from = '', to = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '') ?? []
  if (from === '' && to === '') return undefined
  const start = from === '' ? Math.max(0, sizeBytes - Number(to)) : Number(from)
  const end = from === '' || to === '' ? sizeBytes : Math.min(Number(to) + 1, sizeBytes)
  return start < end ? { start, end } : undefined
}
