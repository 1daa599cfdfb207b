/**
 * A key service of two parts: a store that keeps one wrapped key per owner, outside the database, and a wrapper that holds the master
 * key: a key file, or a key management service (AWS KMS, Google Cloud KMS, Vault). To destroy an owner's key is to remove it from the
 * store; the master key alone opens nothing.
 */
import { createHash, randomBytes } from 'node:crypto'
import { VerbatimError } from '../contract/errors.ts'
import type { Owner } from '../contract/principal.ts'
import type { ContentKey, KeyService } from '../ports/key-service.ts'

/** Encrypts the owners' keys with a master key, which it never shows. */
export interface KeyWrapper {
  /** Names the master key that wraps now. */
  readonly id: string
  /** @param context is authenticated: the key unwraps with the same context only ("encryption context" of AWS KMS) */
  wrap(secret: Uint8Array, context: string, options: KeyCallOptions): Promise<Uint8Array>
  /** @param wrapperId the {@link KeyWrapper.id} at the time of the wrapping @throws any error when it cannot; it is never taken for "destroyed" */
  unwrap(wrapped: Uint8Array, context: string, options: KeyCallOptions & { wrapperId: string }): Promise<Uint8Array>
}

/** One owner's wrapped key. */
export interface WrappedKey {
  readonly id: string
  readonly wrapperId: string
  readonly wrapped: Uint8Array
}

/**
 * Where wrapped keys are kept: outside the database and its backups. Names are made from owners, 16 characters of `A-Za-z0-9_-`.
 * A key that is lost here is content that is lost, so the store has backups of its own; a key that was removed must leave them too.
 */
export interface KeyStore {
  read(name: string, options: KeyCallOptions): Promise<WrappedKey | undefined>
  /** Stores the first key of this name; false when there is one already. Durable when it resolves. */
  create(name: string, key: WrappedKey, options: KeyCallOptions): Promise<boolean>
  /** Stores the same key, wrapped anew. Never brings back one that was removed. */
  rewrap(name: string, key: WrappedKey, options: KeyCallOptions): Promise<void>
  /** Safe to repeat. */
  remove(name: string, options: KeyCallOptions): Promise<void>
  names(options: KeyCallOptions): AsyncIterable<string>
}

interface KeyCallOptions {
  readonly signal: AbortSignal
}

/** A {@link KeyService} of wrapped keys. */
export interface WrappedKeys extends KeyService {
  /**
   * Wraps every key with the wrapper's newest master key, which makes older ones dispensable. Safe to stop and to repeat; answers how
   * many keys it wrapped anew.
   */
  rewrapAll(options: { signal: AbortSignal }): Promise<number>
}

export function createWrappedKeys({ store, wrapper }: { store: KeyStore; wrapper: KeyWrapper }): WrappedKeys {
  const unwrap = async ({ id, wrapperId, wrapped }: WrappedKey, options: KeyCallOptions): Promise<ContentKey> => ({
    id,
    secret: await wrapper.unwrap(wrapped, id, { ...options, wrapperId }),
  })
  const wrap = async (id: string, secret: Uint8Array, options: KeyCallOptions): Promise<WrappedKey> => ({
    id,
    wrapperId: wrapper.id,
    wrapped: await wrapper.wrap(secret, id, options),
  })
  return {
    async current(owner, options) {
      const name = nameOf(owner)
      const stored = await store.read(name, options)
      if (stored !== undefined) return await unwrap(stored, options)
      const made: ContentKey = { id: `${name}.${randomBytes(6).toString('base64url')}`, secret: randomBytes(32) }
      if (await store.create(name, await wrap(made.id, made.secret, options), options)) return made
      const first = await store.read(name, options)
      if (first === undefined) throw new VerbatimError('UNAVAILABLE', 'The key of the owner was destroyed meanwhile')
      return await unwrap(first, options)
    },
    async find(id, options) {
      const [name = ''] = id.split('.', 1)
      const stored = await store.read(name, options)
      if (stored === undefined) return undefined
      // Unwrapped before the ids are compared: an id that is damaged is no proof that the key was destroyed.
      const key = await unwrap(stored, options)
      return key.id === id ? key : undefined
    },
    destroy: (owner, options) => store.remove(nameOf(owner), options),
    async rewrapAll(options) {
      let count = 0
      for await (const name of store.names(options)) {
        const stored = await store.read(name, options)
        if (stored === undefined || stored.wrapperId === wrapper.id) continue
        const { id, secret } = await unwrap(stored, options)
        await store.rewrap(name, await wrap(id, secret, options), options)
        count++
      }
      return count
    },
  }
}

/** 96 bits of SHA-256: tells no one who the owner is, and is short in every sealed text. */
function nameOf({ tenantId, ownerId }: Owner): string {
  const text = JSON.stringify(['content key', tenantId, ownerId])
  return createHash('sha256').update(text).digest().subarray(0, 12).toString('base64url')
}
