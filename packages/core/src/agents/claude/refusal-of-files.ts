/** What the API would refuse of a prompt's files, said before the prompt is stored. */
import { VerbatimError } from '../../contract/errors.ts'
import { ImageMediaType } from '../../contract/media-block.ts'
import type { AttachedFile } from '../../ports/agent.ts'

/** Of one image, as base64 ("Vision"). */
const maxImageChars = 10 * 1024 * 1024
/** Of all files of a request as base64: the API takes 32 MB, and the rest of the request needs some of it. */
const maxRequestChars = 24_000_000
/** Of all PDFs of a request, by the model's window ("PDF support"). */
const maxPages = { usual: 100, ofMillion: 600 } as const
const millionTokens = 1_000_000

/** The first reason not to take `files` together; undefined when there is none. */
export function refusalOfFiles(files: readonly AttachedFile[], contextTokens: number): VerbatimError | undefined {
  const unknown = files.find(({ mediaType }) => !isImage(mediaType) && !isDocument(mediaType))
  if (unknown !== undefined) return refused('type', `The model does not read files of the type ${unknown.mediaType}`)
  const large = files.find(({ mediaType, sizeBytes }) => isImage(mediaType) && charsOf(sizeBytes) > maxImageChars)
  if (large !== undefined) return refused('size', 'The model reads images of 7.8 MB at most; send a smaller one')
  const chars = files.reduce((sum, { sizeBytes }) => sum + charsOf(sizeBytes), 0)
  if (chars > maxRequestChars) return refused('size', 'The model reads files of 18 MB in one message; send fewer')
  const papers = files.filter(({ mediaType }) => mediaType === 'application/pdf')
  if (papers.some(({ pages }) => pages === null)) {
    return refused('unreadable', 'The pages of the PDF cannot be read; it may be encrypted or damaged')
  }
  const most = contextTokens >= millionTokens ? maxPages.ofMillion : maxPages.usual
  const pages = papers.reduce((sum, paper) => sum + (paper.pages ?? 0), 0)
  return pages > most
    ? refused('pages', `The model reads ${most} pages of PDF in one message, and these are ${pages}`)
    : undefined
}

function isImage(mediaType: string): boolean {
  return ImageMediaType.safeParse(mediaType).success
}

function isDocument(mediaType: string): boolean {
  return mediaType === 'application/pdf' || mediaType === 'text/plain'
}

/** Base64 is a third longer than its bytes. */
function charsOf(sizeBytes: number): number {
  return Math.ceil(sizeBytes / 3) * 4
}

function refused(kind: string, message: string): VerbatimError {
  return new VerbatimError('ATTACHMENT_REFUSED', message, { data: { kind, field: 'message' } })
}
