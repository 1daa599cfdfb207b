import { MenuIcon, PlusIcon } from './icons.tsx'

interface TopBarProps {
  readonly title: string | null
  readonly isMenuOpen: boolean
  readonly onMenu: () => void
  readonly onNew: () => void
}

/** On narrow screens, what the sidebar holds on wide ones. */
export function TopBar({ title, isMenuOpen, onMenu, onNew }: TopBarProps) {
  return (
    <header className="top-bar only-narrow">
      <button
        type="button"
        className="icon-button"
        onClick={onMenu}
        aria-label="Show the sessions"
        aria-controls="sidebar"
        aria-expanded={isMenuOpen}
      >
        <MenuIcon />
      </button>
      <span className="top-title">{title ?? 'New chat'}</span>
      <button type="button" className="icon-button" onClick={onNew} aria-label="New chat">
        <PlusIcon />
      </button>
    </header>
  )
}
