/**
 * Appends to one session, one message after another. It knows how many messages the session has: a writer that does not know of the
 * newest one is refused before it stores anything.
 */
import type { Message, MessageRole, MessageStatus, RunMetrics, ContentBlock } from '@verbatim/core'
import type { SessionManager } from '@verbatim/core/server'

/** A message to store. */
export interface NewMessage {
  readonly messageId: string
  readonly role: MessageRole
  readonly content: readonly ContentBlock[]
  readonly agentId: string
  readonly status?: MessageStatus
  readonly metrics?: Partial<RunMetrics> | undefined
}

export class SessionWriter {
  readonly session: SessionManager
  #head = 0
  #last: Promise<unknown> = Promise.resolve()

  constructor(session: SessionManager) {
    this.session = session
  }

  /** The seq of the newest message that this writer knows. */
  get head(): number {
    return this.#head
  }

  /** Takes in what was read of the session: its newest message has this seq. */
  noteHead(seq: number): void {
    this.#head = Math.max(this.#head, seq)
  }

  /** @throws VerbatimError `HEAD_MOVED` when another writer has appended, `SESSION_BUSY` while a run goes on in the session */
  async append(message: NewMessage): Promise<Message> {
    return await this.inTurn(async () => {
      const stored = await this.session.appendMessage({ ...message, expectedHead: this.#head })
      this.noteHead(stored.seq)
      return stored
    })
  }

  /** Runs `step` after the steps before it. */
  async inTurn<TResult>(step: () => Promise<TResult>): Promise<TResult> {
    const done = this.#last.then(step, step)
    this.#last = done.catch(() => {})
    return await done
  }
}
