import { useState } from 'react'
import { PencilIcon, TrashIcon } from '../page/icons.tsx'
import type { Session } from './session-list-state.ts'
import { RenameField } from './rename-field.tsx'
import { hrefOfSession } from './session-route.ts'

interface SessionItemProps {
  readonly session: Session
  readonly isCurrent: boolean
  readonly onPick: () => void
  readonly onRename: (sessionId: string, title: string) => void
  readonly onDelete: (sessionId: string) => void
}

/** One session: a link to it, and on the current one the ways to rename and to delete it. */
export function SessionItem({ session, isCurrent, onPick, onRename, onDelete }: SessionItemProps) {
  const [isRenaming, setRenaming] = useState(false)
  const title = session.title ?? 'Untitled'
  if (isRenaming) {
    const finish = (renamed: string | null) => {
      setRenaming(false)
      if (renamed !== null) onRename(session.id, renamed)
    }
    return (
      <li className="session-item" data-current={isCurrent}>
        <RenameField title={title} onDone={finish} />
      </li>
    )
  }
  const askAndDelete = () => {
    if (globalThis.confirm(`Delete “${title}” and all its messages? This cannot be undone.`)) onDelete(session.id)
  }
  return (
    <li className="session-item" data-current={isCurrent}>
      <a
        href={hrefOfSession(session.id)}
        onClick={onPick}
        aria-current={isCurrent ? 'page' : undefined}
        title={title}
        data-testid="session-item"
        data-session-id={session.id}
      >
        <span className="session-title">{title}</span>
        {session.activeRunId !== null && <span className="pulse" role="img" aria-label="Answering" />}
      </a>
      {isCurrent && (
        <button type="button" className="icon-button" onClick={() => setRenaming(true)} aria-label={`Rename ${title}`}>
          <PencilIcon />
        </button>
      )}
      {isCurrent && (
        <button type="button" className="icon-button" onClick={askAndDelete} aria-label={`Delete ${title}`}>
          <TrashIcon />
        </button>
      )}
    </li>
  )
}
