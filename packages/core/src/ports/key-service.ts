import type { Owner } from '../contract/principal.ts'

/** A key that seals the content of one owner. */
export interface ContentKey {
  /** At most 64 characters of ASCII; never used again for another key. Stored in clear beside what the key seals. */
  readonly id: string
  /** 32 random bytes. */
  readonly secret: Uint8Array
}

/**
 * The operator's keeper of one content key per owner. It keeps them outside the database and outside the database's backups: only so
 * does {@link KeyService.destroy} reach what a backup holds.
 *
 * A call that fails for now throws any error: callers receive `UNAVAILABLE`. No error may mean "destroyed", which is final.
 */
export interface KeyService {
  /** The key for new content of `owner`, made when there is none. The same key for all processes, also when they ask at once. */
  current(owner: Owner, options: { signal: AbortSignal }): Promise<ContentKey>
  /** The key of this id; undefined when it was destroyed. */
  find(id: string, options: { signal: AbortSignal }): Promise<ContentKey | undefined>
  /** Destroys every key of `owner`, for good. Safe to repeat. An owner who comes back receives a new key. */
  destroy(owner: Owner, options: { signal: AbortSignal }): Promise<void>
}

/** Content is sealed with a key of its owner before it is stored. */
export interface ContentEncryption {
  readonly keys: KeyService
  /** With `false`, new content is stored in clear, and what was sealed before stays readable. @default true */
  readonly sealNew?: boolean | undefined
}

/** What an erasure needs of the keys. */
export interface ContentKeys {
  /**
   * Destroys the keys of `owner`: what they sealed can never be read again, in this database and in every backup of it. Call it
   * when no run of the owner goes on. Other processes may use a key in memory for 30 s more; one that cannot reach the key
   * service, for 15 minutes. Safe to repeat.
   *
   * @throws VerbatimError `UNAVAILABLE` when the key service does not confirm it
   */
  erase(owner: Owner): Promise<void>
}
