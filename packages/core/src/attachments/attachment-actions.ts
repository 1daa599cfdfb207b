/** Files as callers use them: what the server does not take is refused before it is stored, what is missing is a typed error. */
import { auditMissing } from '../audit/audit-missing.ts'
import { requireFound, VerbatimError } from '../contract/errors.ts'
import { rateLimited } from '../contract/limit-error.ts'
import type { Owner } from '../contract/principal.ts'
import type { AttachmentActions, UploadInput } from '../engine/engine.ts'
import type { EngineContext } from '../runs/engine-context.ts'
import { inspectUpload, tooLarge } from './inspect-upload.ts'

export function createAttachmentActions(context: EngineContext): AttachmentActions {
  const { ports, options, audit } = context
  const { attachmentRepository: repository } = ports
  return {
    maxBytes: options.attachments.maxBytes,
    upload: (owner, input) => upload(context, owner, input),
    async open(owner, id) {
      const opened = repository.open(owner, id).then((found) => requireFound(found, 'ATTACHMENT_NOT_FOUND'))
      return await auditMissing(audit, { owner, kind: 'attachment', id }, opened)
    },
  }
}

async function upload(context: EngineContext, owner: Owner, input: UploadInput) {
  const { ports, options, admission, stopping } = context
  const { maxBytes, mediaTypes, unusedMs } = options.attachments
  const { id = crypto.randomUUID(), name, sizeBytes = 0, signal = stopping } = input
  if (sizeBytes > maxBytes) throw tooLarge(maxBytes)
  await requireRoom(context, owner, sizeBytes)
  const inspected = await inspectUpload(exactly(input.bytes, input.sizeBytes), { maxBytes, mediaTypes })
  const attachment = { id, name, ...inspected, unusedMs, limits: admission.limits.stored }
  return await ports.attachmentRepository.store(owner, attachment, { signal: AbortSignal.any([signal, stopping]) })
}

/** Before the bytes are read; the transaction that stores the file counts again. */
async function requireRoom({ ports, admission }: EngineContext, owner: Owner, sizeBytes: number): Promise<void> {
  const limit = admission.limits.stored.principalAttachmentBytes
  if (limit === undefined) return
  const stored = await ports.attachmentRepository.storedBytes(owner)
  if (stored + sizeBytes > limit) throw rateLimited('principal', 'attachment_bytes')
}

/** A file that ends early is no file. */
async function* exactly(bytes: AsyncIterable<Uint8Array>, sizeBytes: number | undefined) {
  let passed = 0
  for await (const chunk of bytes) {
    passed += chunk.byteLength
    yield chunk
  }
  if (sizeBytes === undefined || passed === sizeBytes) return
  throw new VerbatimError('INVALID_INPUT', 'The file has another length than its sender said', { data: { field: '' } })
}
