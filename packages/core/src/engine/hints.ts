/** How this process learns of what others write: by hints of the database, or by polls. */
import type { ResolvedPorts } from '../ports/engine-ports.ts'
import type { Logger } from '../ports/logger.ts'

/** Whether the hints of one kind come; a process assumes it until it learns otherwise. */
export interface HintState {
  readonly areThere: boolean
  begin(): void
  end(reason: string): void
}

export interface Hints {
  readonly ofRuns: HintState
  readonly ofSessions: HintState
  readonly kind: 'change_streams' | 'polls'
}

export function createHints({ logWatcher, sessionWatcher, logger }: ResolvedPorts): Hints {
  const ofRuns = createHintState(logWatcher !== undefined, { logger, of: 'runs' })
  const ofSessions = createHintState(sessionWatcher !== undefined, { logger, of: 'sessions' })
  return {
    ofRuns,
    ofSessions,
    get kind() {
      return ofRuns.areThere && ofSessions.areThere ? 'change_streams' : 'polls'
    },
  }
}

function createHintState(areThere: boolean, { logger, of }: { logger: Logger; of: string }): HintState {
  let current = areThere
  return {
    get areThere() {
      return current
    },
    begin: () => void (current = true),
    end(reason) {
      if (current)
        logger.warn({ of, reason }, 'The database gives no change streams: followers of other processes poll')
      current = false
    },
  }
}
