import { themes, useTheme } from './theme.ts'
import type { Theme } from './theme.ts'

const names: Readonly<Record<Theme, string>> = { system: 'Automatic', light: 'Light', dark: 'Dark' }

interface SidebarFooterProps {
  readonly onShowShortcuts: () => void
  readonly onSignOut: (() => void) | undefined
}

/** Below the sessions: how the page looks, which keys it knows, and the way out. */
export function SidebarFooter({ onShowShortcuts, onSignOut }: SidebarFooterProps) {
  const [theme, setTheme] = useTheme()
  return (
    <footer className="sidebar-foot">
      <select
        className="theme-field"
        aria-label="Theme"
        value={theme}
        onChange={({ target }) => setTheme(themes.find((name) => name === target.value) ?? 'system')}
      >
        {themes.map((name) => (
          <option key={name} value={name}>
            {names[name]}
          </option>
        ))}
      </select>
      <button type="button" className="quiet-button" onClick={onShowShortcuts}>
        Shortcuts
      </button>
      {onSignOut !== undefined && (
        <button type="button" className="quiet-button" onClick={onSignOut} data-testid="sign-out">
          Sign out
        </button>
      )}
    </footer>
  )
}
