/** The files of the prompt that is being written. Each is sent to the server at once, so that it is there when the prompt is. */
import { isVerbatimError } from '@verbatim/client'
import type { Attachment, PromptBlock } from '@verbatim/client'
import { useVerbatim } from '@verbatim/client/react'
import { useCallback, useEffect, useRef, useState } from 'react'
import { errorMessage } from '../notices/error-message.ts'

/** One file, from its choice on. */
export interface ChosenFile {
  readonly key: string
  readonly name: string
  /** Shows an image; null for other files. */
  readonly preview: string | null
  /** The stored file; undefined while it is sent and when it was refused. */
  readonly attachment?: Attachment
  /** Why the server did not take it. */
  readonly error?: string
}

export interface Attachments {
  readonly files: readonly ChosenFile[]
  /** True when every file that was not refused is with the server. */
  readonly isReady: boolean
  readonly add: (files: Iterable<File>) => void
  readonly remove: (key: string) => void
  /** Takes the files out for a prompt; a prompt that is refused brings them back. */
  readonly take: () => readonly ChosenFile[]
  readonly putBack: (files: readonly ChosenFile[]) => void
}

export function useAttachments(): Attachments {
  const client = useVerbatim()
  const [files, setFiles] = useState<readonly ChosenFile[]>([])
  const sending = useRef(new Map<string, AbortController>())
  const change = useCallback((key: string, news: Partial<ChosenFile>) => {
    setFiles((all) => all.map((file) => (file.key === key ? { ...file, ...news } : file)))
  }, [])

  const add = useCallback(
    (added: Iterable<File>) => {
      for (const file of added) {
        const chosen = toChosen(file)
        const controller = new AbortController()
        sending.current.set(chosen.key, controller)
        setFiles((all) => [...all, chosen])
        client.attachments
          .upload(file, { name: chosen.name, signal: controller.signal })
          .then((attachment) => change(chosen.key, { attachment }))
          .catch((error: unknown) => change(chosen.key, { error: reasonOf(error) }))
          .finally(() => sending.current.delete(chosen.key))
      }
    },
    [client, change],
  )

  const remove = useCallback(
    (key: string) => {
      sending.current.get(key)?.abort()
      setFiles(files.filter((file) => file.key !== key))
      files.filter((file) => file.key === key).forEach(forget)
    },
    [files],
  )

  const take = useCallback(() => {
    setFiles([])
    return files
  }, [files])

  const putBack = useCallback((back: readonly ChosenFile[]) => setFiles((all) => [...back, ...all]), [])
  useEffect(() => {
    const running = sending.current
    return () => running.forEach((controller) => controller.abort())
  }, [])
  const isReady = files.every(({ attachment, error }) => attachment !== undefined || error !== undefined)
  return { files, isReady, add, remove, take, putBack }
}

/** The blocks that name the files; one that was refused is left out. */
export function toBlocks(files: readonly ChosenFile[]): PromptBlock[] {
  return files.flatMap(({ attachment }) => (attachment === undefined ? [] : [toBlock(attachment)]))
}

function toBlock({ id, name, mediaType }: Attachment): PromptBlock {
  const source = { type: 'attachment', attachment_id: id } as const
  return mediaType.startsWith('image/')
    ? { type: 'image', source, alt: name }
    : { type: 'document', source, title: name }
}

function toChosen(file: File): ChosenFile {
  const preview = file.type.startsWith('image/') ? URL.createObjectURL(file) : null
  return { key: crypto.getRandomValues(new Uint32Array(2)).join('-'), name: file.name || 'file', preview }
}

/** Frees the preview's memory. */
export function forget({ preview }: ChosenFile): void {
  if (preview !== null) URL.revokeObjectURL(preview)
}

/** Why a file is not taken, in the words of one who sends it. */
const reasons: Readonly<Record<string, string>> = {
  type: 'Files of this kind cannot be sent. Most pictures, PDF and text can.',
  size: 'The file is too large.',
  pages: 'The file has too many pages.',
  unreadable: 'The file cannot be read; it may be damaged or need a password.',
  empty: 'The file is empty.',
  count: 'These are too many files for one message.',
}

function reasonOf(error: unknown): string {
  if (!isVerbatimError(error)) return 'The file could not be sent.'
  // The server, or a proxy before it, bounds the request before it looks at the file.
  const kind = error.code === 'PAYLOAD_TOO_LARGE' ? 'size' : error.data.kind
  return reasons[kind ?? ''] ?? errorMessage(error)
}
