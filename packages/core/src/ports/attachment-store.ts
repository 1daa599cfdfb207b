declare const bytesKeyBrand: unique symbol

/** Where the bytes of one upload are: the key of their owner, a slash, and a random id. */
export type BytesKey = string & { readonly [bytesKeyBrand]: true }

/** Which bytes: from `start` (0 is the first) up to and without `end`. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** Keeps bytes under keys, and knows nothing else of them: they may be sealed. Holds a bounded part of them in memory. */
export interface AttachmentStore {
  /**
   * Stores all of `bytes` durably, pulling them as fast as they are stored. A key is written once. When the call fails, a part may
   * be stored: {@link AttachmentStore.remove} removes it.
   *
   * @throws VerbatimError `UNAVAILABLE`; what `bytes` throws; the signal's reason
   */
  write(key: BytesKey, bytes: AsyncIterable<Uint8Array>, options: { signal: AbortSignal }): Promise<void>
  /** The bytes of the range, read as they are taken. @throws VerbatimError `UNAVAILABLE`, `ATTACHMENT_NOT_FOUND`; the signal's reason */
  read(key: BytesKey, range: ByteRange, options: { signal: AbortSignal }): AsyncIterable<Uint8Array>
  /** Removes the bytes, or a part of them that a failed write has left. Safe to repeat. @throws VerbatimError `UNAVAILABLE` */
  remove(key: BytesKey, options: { signal: AbortSignal }): Promise<void>
}
