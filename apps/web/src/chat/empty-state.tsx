import { Mark } from '../page/icons.tsx'

/** A session without messages. */
export function EmptyState() {
  return (
    <div className="empty-state" data-testid="empty">
      <Mark />
      <p>Ask anything. You can reload, leave or lose the connection: the answer goes on.</p>
    </div>
  )
}
