import { useEffect, useRef } from 'react'
import { CloseIcon } from './icons.tsx'
import { shortcuts } from './shortcuts.ts'

/** The list of the page's keys, over the page. Esc and a press beside it close it, and the focus goes back to where it was. */
export function ShortcutList({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    if (isOpen) dialog.current?.showModal()
    else dialog.current?.close()
  }, [isOpen])
  return (
    <dialog
      ref={dialog}
      className="dialog"
      aria-labelledby="shortcut-list-name"
      onClose={onClose}
      // The backdrop belongs to the dialog, what is in it does not.
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      <div className="dialog-body">
        <header className="dialog-head">
          <h2 id="shortcut-list-name">Keyboard shortcuts</h2>
          <button type="button" className="icon-button" onClick={onClose} aria-label="Close the list">
            <CloseIcon />
          </button>
        </header>
        <dl className="shortcuts">
          {shortcuts.map(({ keys, does }) => (
            <div key={does}>
              <dt>
                {keys.map((key) => (
                  <kbd key={key}>{key === 'Ctrl' && isApple() ? '⌘' : key}</kbd>
                ))}
              </dt>
              <dd>{does}</dd>
            </div>
          ))}
        </dl>
      </div>
    </dialog>
  )
}

function isApple(): boolean {
  return /Mac|iPhone|iPad/.test(navigator.userAgent)
}
