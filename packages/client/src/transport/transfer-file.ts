/** Files to the server and back. A file is sent as it is, under an id that makes a repeated upload the same attachment. */
import { randomUuid } from '@verbatim/core'
import type { Attachment } from '@verbatim/core'
import { withFreshToken } from './connection.ts'
import type { Connection } from './connection.ts'
import { retryCall } from './reconnect.ts'
import { errorOfResponse, toVerbatimError } from './to-error.ts'

/** How much of a file has been sent. */
export interface UploadProgress {
  readonly sentBytes: number
  readonly totalBytes: number
}

/** What an upload says of its file. */
export interface UploadRequest {
  /** The attachment's id, a UUID. @default a random one */
  readonly id?: string | undefined
  /** @default the file's own name, or `file` */
  readonly name?: string | undefined
  /** Called as the file is sent; after a lost connection it begins anew. */
  readonly onProgress?: ((progress: UploadProgress) => void) | undefined
}

type Upload = UploadRequest & { readonly signal: AbortSignal }

/** @throws VerbatimError; the signal's reason */
export async function uploadFile(connection: Connection, file: Blob, upload: Upload): Promise<Attachment> {
  const { id = randomUuid(), name = 'name' in file ? String(file.name) : 'file', signal, onProgress } = upload
  const headers = {
    'content-type': 'application/octet-stream',
    'idempotency-key': id,
    'x-file-name': encodeURIComponent(
      name
        .replace(/^.*[/\\]/, '')
        .slice(0, 255)
        .toWellFormed() || 'file',
    ),
  }
  const post = async (refresh: boolean) => await postFile(connection, { file, headers, signal, onProgress, refresh })
  const call = async () => {
    const response = await withFreshToken(post).catch((error: unknown) => {
      signal.throwIfAborted()
      throw toVerbatimError(error)
    })
    if (!response.ok) throw await errorOfResponse(response, connection.transformer)
    return (await response.json()) as Attachment // the server's contract
  }
  return await retryCall(call, { retry: connection.retry, signal })
}

/** @throws VerbatimError */
export async function downloadFile(connection: Connection, id: string, signal: AbortSignal): Promise<Blob> {
  const url = `${connection.rootUrl}/attachments/${encodeURIComponent(id)}`
  const response = await withFreshToken(async (refresh) => await connection.fetch(url, { signal }, { refresh }))
  if (!response.ok) throw await errorOfResponse(response, connection.transformer)
  return await response.blob()
}

interface Post extends Pick<Upload, 'signal' | 'onProgress'> {
  readonly file: Blob
  readonly headers: Readonly<Record<string, string>>
  readonly refresh: boolean
}

/** A browser tells how far it is of an `XMLHttpRequest` only. */
async function postFile(connection: Connection, post: Post): Promise<Response> {
  const { file, headers, signal, onProgress, refresh } = post
  const url = `${connection.rootUrl}/attachments`
  if (onProgress !== undefined && typeof XMLHttpRequest !== 'undefined' && !connection.hasOwnFetch) {
    return await postByXhr(url, { ...post, headers: await connection.authorize(headers, { refresh }) })
  }
  const init = { method: 'POST', headers, signal }
  if (onProgress === undefined || typeof XMLHttpRequest !== 'undefined') {
    // A browser streams no body over HTTP/1.1, so with a fetch of the application's own there is one step.
    const response = await connection.fetch(url, { ...init, body: file }, { refresh })
    onProgress?.({ sentBytes: file.size, totalBytes: file.size })
    return response
  }
  // A body of unknown length needs `duplex`, which the DOM's types do not have.
  const streamed = { ...init, body: counted(file, onProgress), duplex: 'half' } as RequestInit
  return await connection.fetch(url, streamed, { refresh })
}

/** A file with a progress is sent in pieces of this size, in bytes. */
const pieceBytes = 256 * 1024

function counted(file: Blob, onProgress: (progress: UploadProgress) => void): ReadableStream<Uint8Array> {
  let sentBytes = 0
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (sentBytes === file.size) return controller.close()
        const piece = new Uint8Array(await file.slice(sentBytes, sentBytes + pieceBytes).arrayBuffer())
        controller.enqueue(piece)
        sentBytes += piece.byteLength
        onProgress({ sentBytes, totalBytes: file.size })
      },
    },
    { highWaterMark: 0 },
  )
}

function postByXhr(
  url: string,
  { file, headers, signal, onProgress }: Omit<Post, 'headers'> & { readonly headers: Headers },
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest()
    const abort = () => xhr.abort()
    xhr.open('POST', url)
    headers.forEach((value, name) => xhr.setRequestHeader(name, value))
    xhr.upload.addEventListener('progress', ({ loaded }) => onProgress?.({ sentBytes: loaded, totalBytes: file.size }))
    xhr.addEventListener('load', () => {
      const retryAfter = xhr.getResponseHeader('retry-after')
      resolve(
        new Response(xhr.responseText, {
          status: xhr.status,
          headers: retryAfter ? { 'retry-after': retryAfter } : {},
        }),
      )
    })
    xhr.addEventListener('error', () => reject(new TypeError('The upload failed')))
    xhr.addEventListener('abort', () => reject(signal.reason as Error))
    xhr.addEventListener('loadend', () => signal.removeEventListener('abort', abort))
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) reject(signal.reason as Error)
    else xhr.send(file)
  })
}
