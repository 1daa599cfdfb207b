import { CopyButton } from '../message/copy-button.tsx'

/** Says plainly that no real model answers, and how to get one. */
export function DemoBanner({ switchCommand }: { switchCommand: string | null }) {
  return (
    <aside className="banner" data-testid="banner" aria-label="Demo model">
      <p>
        <strong>Demo model:</strong> a local stand-in answers, not Claude.{' '}
        {switchCommand !== null && <span className="banner-way">To switch, start with</span>}
      </p>
      {switchCommand !== null && (
        <span className="command banner-way">
          <code>{switchCommand}</code>
          <CopyButton textOf={() => switchCommand} what="the command" />
        </span>
      )}
    </aside>
  )
}
