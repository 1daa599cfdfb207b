import type { DocumentBlock, ImageBlock } from '@verbatim/client'
import { useVerbatim } from '@verbatim/client/react'
import { useEffect, useState } from 'react'
import type { ContentBlock } from './chat-message.ts'

/** The images and documents of a message. */
export function AttachedFiles({ content }: { content: readonly ContentBlock[] }) {
  const files = content.filter((block): block is ImageBlock | DocumentBlock => isFile(block))
  if (files.length === 0) return null
  return (
    <ul className="attached-files" data-testid="attached-files">
      {files.map((file, at) => (
        <li key={at}>
          {file.type === 'image' ? <AttachedImage image={file} /> : <AttachedDocument document={file} />}
        </li>
      ))}
    </ul>
  )
}

function isFile({ type }: ContentBlock): boolean {
  return type === 'image' || type === 'document'
}

function AttachedImage({ image: { source, alt = 'Image' } }: { image: ImageBlock }) {
  const loaded = useFile(source.type === 'attachment' ? source.attachment_id : null)
  if (source.type === 'url') return <a href={source.url}>{alt}</a>
  const url = source.type === 'base64' ? `data:${source.media_type};base64,${source.data}` : loaded.url
  if (url !== null) return <img src={url} alt={alt} />
  return <span className="file-place">{loaded.isGone ? `${alt} is not there any more` : alt}</span>
}

function AttachedDocument({ document: { source, title = 'Document' } }: { document: DocumentBlock }) {
  const client = useVerbatim()
  if (source.type === 'url') return <a href={source.url}>{title}</a>
  if (source.type !== 'attachment') return <span className="file-place">{title}</span>
  const save = async () => {
    const url = URL.createObjectURL(await client.attachments.download(source.attachment_id))
    const link = Object.assign(document.createElement('a'), { href: url, download: title })
    link.click()
    URL.revokeObjectURL(url)
  }
  return (
    <button type="button" className="quiet-button file-place" onClick={() => void save().catch(() => {})}>
      {title}
    </button>
  )
}

/** A file's bytes under a URL of this page: an image's own address would come without the user's token. */
function useFile(id: string | null): { url: string | null; isGone: boolean } {
  const client = useVerbatim()
  const [file, setFile] = useState<{ url: string | null; isGone: boolean }>({ url: null, isGone: false })
  useEffect(() => {
    if (id === null) return
    const leaving = new AbortController()
    let url: string | null = null
    client.attachments.download(id, { signal: leaving.signal }).then(
      (bytes) => {
        if (leaving.signal.aborted) return
        url = URL.createObjectURL(bytes)
        setFile({ url, isGone: false })
      },
      () => {
        if (!leaving.signal.aborted) setFile({ url: null, isGone: true })
      },
    )
    return () => {
      leaving.abort()
      if (url !== null) URL.revokeObjectURL(url)
    }
  }, [client, id])
  return file
}
