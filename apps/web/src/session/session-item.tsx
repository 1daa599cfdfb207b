import { useRef } from 'react'
import { PencilIcon, TrashIcon } from '../page/icons.tsx'
import type { Session } from './session.ts'
import { RenameField } from './rename-field.tsx'
import { hrefOfSession } from './session-route.ts'

/** What can be done with the current session. */
export interface SessionActions {
  readonly isRenaming: boolean
  readonly onRename: () => void
  /** @param title null to leave it as it is */
  readonly onRenamed: (title: string | null) => void
  readonly onDelete: () => void
}

interface SessionItemProps {
  readonly session: Session
  readonly onPick: () => void
  /** Given on the current session only. */
  readonly actions: SessionActions | undefined
}

/** One session: a link to it, and on the current one the ways to rename and to delete it. */
export function SessionItem({ session, onPick, actions }: SessionItemProps) {
  const link = useRef<HTMLAnchorElement>(null)
  const title = session.title ?? 'Untitled'
  const isCurrent = actions !== undefined
  const finish = (renamed: string | null, by: 'key' | 'leaving') => {
    actions?.onRenamed(renamed)
    // The field goes, and the focus must not go with it. The link comes back with the next frame.
    if (by === 'key') requestAnimationFrame(() => link.current?.focus())
  }
  return (
    <li className="session-item" data-current={isCurrent}>
      {actions?.isRenaming === true ? (
        <RenameField title={title} onDone={finish} />
      ) : (
        <a
          ref={link}
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
      )}
      {actions?.isRenaming === false && <ActionButtons title={title} actions={actions} />}
    </li>
  )
}

function ActionButtons({ title, actions }: { title: string; actions: SessionActions }) {
  return (
    <>
      <button type="button" className="icon-button" onClick={actions.onRename} aria-label={`Rename ${title}`}>
        <PencilIcon />
      </button>
      <button type="button" className="icon-button" onClick={actions.onDelete} aria-label={`Delete ${title}`}>
        <TrashIcon />
      </button>
    </>
  )
}
