import type { SyntheticEvent } from 'react'
import { CloseIcon } from '../page/icons.tsx'
import type { Attachments, ChosenFile } from './use-attachments.ts'

/** The files of the prompt, with what became of each. */
export function ChosenFiles({ attachments }: { attachments: Attachments }) {
  if (attachments.files.length === 0) return null
  return (
    <ul className="chosen-files" aria-label="Attached files" data-testid="chosen-files">
      {attachments.files.map((file) => (
        <li
          key={file.key}
          ref={file.error === undefined ? undefined : bringIntoView}
          className="chosen-file"
          data-state={stateOf(file)}
          data-testid="chosen-file"
        >
          {file.preview === null ? null : <img src={file.preview} alt="" onError={hide} />}
          <span className="chosen-name">
            <span dir="auto">{file.name}</span>
            <small role={file.error === undefined ? 'status' : 'alert'}>{file.error ?? statusOf(file)}</small>
          </span>
          <button
            type="button"
            className="quiet-button"
            onClick={() => attachments.remove(file.key)}
            aria-label={`Remove ${file.name}`}
          >
            <CloseIcon />
          </button>
        </li>
      ))}
    </ul>
  )
}

/** The row of files is wider than a phone, and the prompt goes without a file that was refused: the user must see it. */
function bringIntoView(file: HTMLLIElement | null): void {
  file?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
}

/** A file may have the name of a picture and be none. */
function hide({ currentTarget }: SyntheticEvent<HTMLImageElement>): void {
  currentTarget.hidden = true
}

function stateOf({ attachment, error }: ChosenFile): 'sending' | 'ready' | 'refused' {
  if (error !== undefined) return 'refused'
  return attachment === undefined ? 'sending' : 'ready'
}

function statusOf({ attachment }: ChosenFile): string {
  return attachment === undefined ? 'Sending' : sizeOf(attachment.sizeBytes)
}

function sizeOf(bytes: number): string {
  if (bytes < 1_000) return `${bytes} bytes`
  return bytes < 1_000_000 ? `${Math.round(bytes / 1_000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`
}
