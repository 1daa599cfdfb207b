import { requireFound } from '../contract/errors.ts'
import type { Owner } from '../contract/principal.ts'
import type { AttachmentReader } from '../ports/agent.ts'
import type { AttachmentRepository } from '../ports/attachment-repository.ts'

/** The files of `owner`, for the agent of one of the owner's runs. */
export function createAttachmentReader(repository: AttachmentRepository, owner: Owner): AttachmentReader {
  return {
    find: async (ids) => await repository.find(owner, ids),
    async read(id, { signal }) {
      const file = requireFound(await repository.open(owner, id), 'ATTACHMENT_NOT_FOUND')
      const bytes = new Uint8Array(file.attachment.sizeBytes)
      let at = 0
      for await (const piece of file.read({ signal })) {
        bytes.set(piece, at)
        at += piece.byteLength
      }
      return bytes
    },
  }
}
