import { DownIcon } from '../page/icons.tsx'

/** Leads back to the end after the user has scrolled up. */
export function JumpButton({ onJump }: { onJump: () => void }) {
  return (
    <button type="button" className="round-button jump-button" onClick={onJump} aria-label="Go to the newest message">
      <DownIcon />
    </button>
  )
}
