import { useRef } from 'react'
import { ClipIcon } from '../page/icons.tsx'

/** What the server takes by default; its answer decides. */
const accepted = 'image/jpeg,image/png,image/gif,image/webp,application/pdf,text/*'

/** The paper clip: files from the disk, or on a phone from the camera. */
export function AttachButton({ onFiles }: { onFiles: (files: Iterable<File>) => void }) {
  const input = useRef<HTMLInputElement>(null)
  return (
    <>
      <input
        ref={input}
        type="file"
        multiple
        accept={accepted}
        hidden
        data-testid="file-input"
        onChange={({ target }) => {
          onFiles([...(target.files ?? [])])
          target.value = '' // the same file can be chosen again
        }}
      />
      <button
        type="button"
        className="round-button clip-button"
        aria-label="Attach files"
        data-testid="attach"
        onClick={() => input.current?.click()}
      >
        <ClipIcon />
      </button>
    </>
  )
}
