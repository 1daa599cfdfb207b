import type { Session } from '../../contract/session.ts'
import type { SessionKey } from '../../ports/deletion-repository.ts'
import type { SessionRecord } from '../../ports/session-states.ts'
import { Feed } from './feed.ts'

/** What is known of a followed session; `absent` while there is none of its id. */
export type SessionState = Session | 'absent' | 'deleted'

/** One session. */
export class SessionFeed extends Feed<SessionKey, SessionState> {
  /** Takes what is stored; never rejects. After an election a read may bring an older state: the newer one stays. */
  async take(record: SessionRecord | undefined): Promise<void> {
    try {
      const next = record === undefined ? 'absent' : record.isDeleted ? 'deleted' : await record.toSession()
      this.update(isNewer(next, this.known) ? next : undefined)
    } catch (error) {
      this.fail(error)
    }
  }

  /** True when `stored` is newer than what is known, or the last read failed. */
  isBehind(stored: number | 'deleted' | undefined): boolean {
    const { known } = this
    if (known === undefined || this.hasFailed) return true
    if (stored === undefined || known === 'deleted') return false
    return stored === 'deleted' || known === 'absent' || stored > known.revision
  }
}

/** A session that was there does not become absent, and a deleted one does not come back. */
function isNewer(next: SessionState, known: SessionState | undefined): boolean {
  if (known === undefined) return true
  if (known === 'deleted' || next === 'absent') return false
  if (known === 'absent' || next === 'deleted') return true
  return next.revision > known.revision
}
