/**
 * Content as documents hold it: in clear, or sealed with a key of its owner. What the agent and callers say is content (messages,
 * waiting prompts, titles, agents' events); what the engine says of a run is not, so states, metrics and keys can be queried as ever.
 * A sealed text opens only at the place that it was sealed for: a message's key, a session's key, a run's key and seq.
 */
import { BSON } from 'mongodb'
import type { ContentBlock } from '../../contract/content-block.ts'
import type { JsonValue } from '../../contract/json-value.ts'
import { errorOf, isVerbatimError } from '../../contract/errors.ts'
import type { VerbatimError } from '../../contract/errors.ts'
import { isTerminalEvent } from '../../contract/event.ts'
import type { EngineEvent, RunEvent } from '../../contract/event.ts'
import type { Owner } from '../../contract/principal.ts'
import { createKeyRing } from '../../keys/key-ring.ts'
import type { KeyRing } from '../../keys/key-ring.ts'
import { fingerprint, keyIdOf, open, seal } from '../../keys/seal.ts'
import type { HeldKey } from '../../keys/seal.ts'
import type { BytesKey } from '../../ports/attachment-store.ts'
import type { Clock } from '../../ports/clock.ts'
import type { SessionKey } from '../../ports/deletion-repository.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { ContentEncryption } from '../../ports/key-service.ts'
import type { AgentStateKey, AttachmentKey, MessageKey } from './owner-keys.ts'
import {
  fromStoredContent,
  fromStoredEvents,
  fromText,
  isSealed,
  toStoredContent,
  toStoredEvents,
  toStoredJson,
} from './stored-json.ts'
import type {
  AttachmentDetails,
  Sealed,
  SealedEvents,
  StoredBlock,
  StoredContent,
  StoredDetails,
  StoredEvent,
  StoredItem,
  StoredJson,
  StoredTitle,
} from './stored-json.ts'

/** Which part of a message a JSON value is, or the state that it is. */
type JsonPlace =
  | { readonly part: 'input' | 'output' | 'data'; readonly of: MessageKey }
  | { readonly part: 'state'; readonly of: AgentStateKey }

/** Writes content of one owner. */
export interface ContentWriter {
  content(key: MessageKey, content: readonly ContentBlock[]): StoredContent
  /** JSON that a message has beside its content, and the state of an agent. */
  json(place: JsonPlace, value: JsonValue): StoredJson
  title(key: SessionKey, title: string | null): StoredTitle
  events(entry: { readonly key: RunKey; readonly firstSeq: number; readonly events: readonly RunEvent[] }): StoredItem[]
  details(key: AttachmentKey, details: AttachmentDetails): StoredDetails
  /** Seals the bytes of a file; undefined where they are stored in clear. */
  readonly bytes: BytesSealer | undefined
  /** A hash of content, so that the content cannot be guessed from it. */
  hash(hash: string): string
}

/** Seals a file part by part. A part opens only at its place. */
export interface BytesSealer {
  readonly keyId: string
  seal(key: BytesKey, part: number, bytes: Uint8Array): Buffer
}

/** Opens part after part of a file. */
export type BytesOpener = (part: number, sealed: Uint8Array) => Buffer

export interface ContentCipher {
  /** For what a caller sends. @throws VerbatimError `UNAVAILABLE` when the key service has not confirmed the key lately */
  writerFor(owner: Owner): Promise<ContentWriter>
  /** For a run that goes on: the key in memory will do. @throws VerbatimError `UNAVAILABLE` */
  writerForRun(owner: Owner): Promise<ContentWriter>
  /** @throws VerbatimError `CONTENT_UNREADABLE`, `UNAVAILABLE`; as every call that reads */
  readContent(key: MessageKey, stored: StoredContent): Promise<ContentBlock[]>
  readJson(place: JsonPlace, stored: StoredJson): Promise<JsonValue>
  /** Null also when it is unreadable: a list of sessions works without. */
  readTitle(key: SessionKey, stored: StoredTitle): Promise<string | null>
  readEvents(key: RunKey, stored: readonly StoredItem[]): Promise<RunEvent[]>
  readDetails(key: AttachmentKey, stored: StoredDetails): Promise<AttachmentDetails>
  /** @throws VerbatimError `CONTENT_UNREADABLE`, `UNAVAILABLE`; the opener throws `CONTENT_UNREADABLE` */
  bytesOpener(key: BytesKey, keyId: string): Promise<BytesOpener>
  /** Whether `stored` was made of `hash`. */
  isHashOf(stored: string, hash: string): Promise<boolean>
  /** @throws VerbatimError `UNAVAILABLE` */
  eraseKeys(owner: Owner): Promise<void>
}

export function createContentCipher(encryption: ContentEncryption | undefined, clock: Clock): ContentCipher {
  const ring = encryption && createKeyRing(encryption.keys, clock)
  const writing = encryption?.sealNew === false ? undefined : ring
  return {
    writerFor: async (owner) => (writing === undefined ? clearWriter : sealingWriter(await writing.current(owner))),
    writerForRun: async (owner) =>
      writing === undefined ? clearWriter : sealingWriter(await writing.current(owner, { mayBeOld: true })),
    async readContent(key, stored) {
      if (Array.isArray(stored)) return fromStoredContent(stored)
      return fromStoredContent((await unseal(ring, placeOfMessage(key), stored)) as StoredBlock[]) // sealed by content()
    },
    async readJson(place, stored) {
      if (typeof stored === 'string') return fromText(stored)
      return fromText((await unseal(ring, placeOfJson(place), stored)) as string) // sealed by json()
    },
    readTitle: async (key, stored) => await readTitle(ring, key, stored),
    async readEvents(key, stored) {
      const parts = stored.map(async (item) =>
        isSealed(item) ? ((await unseal(ring, placeOfEvents(key, item), item.data)) as StoredEvent[]) : item,
      )
      return fromStoredEvents((await Promise.all(parts)).flat())
    },
    async readDetails(key, stored) {
      if (!isSealedValue(stored)) return stored
      return (await unseal(ring, placeOfDetails(key), stored)) as AttachmentDetails // sealed by details()
    },
    bytesOpener: async (key, keyId) => openerOf(await requireKey(ring, keyId), key),
    async isHashOf(stored, hash) {
      const [, keyId, mac] = hashForm.exec(stored) ?? []
      if (keyId === undefined) return stored === hash
      return fingerprint(await requireKey(ring, keyId), hash) === mac
    },
    eraseKeys: async (owner) => await ring?.destroy(owner),
  }
}

async function readTitle(ring: KeyRing | undefined, key: SessionKey, stored: StoredTitle): Promise<string | null> {
  if (stored === null || typeof stored === 'string') return stored
  try {
    return (await unseal(ring, placeOfTitle(key), stored)) as string // sealed by title()
  } catch (error) {
    if (isUnreadable(error)) return null
    throw error
  }
}

/** Writes as it is given. */
export const clearWriter: ContentWriter = {
  content: (_key, content) => toStoredContent(content),
  json: (_place, value) => toStoredJson(value),
  title: (_key, title) => title as StoredTitle, // branded here only
  events: ({ events }) => toStoredEvents(events),
  details: (_key, details) => details,
  bytes: undefined,
  hash: (hash) => hash,
}

const hashForm = /^hmac (\S+) (\S+)$/

function sealingWriter(key: HeldKey): ContentWriter {
  return {
    // Without content there is nothing to seal, and nothing that a lost key makes unreadable.
    content: (place, content) =>
      content.length === 0 ? [] : sealValue(key, placeOfMessage(place), toStoredContent(content)),
    json: (place, value) => sealValue(key, placeOfJson(place), toStoredJson(value)),
    title: (place, title) => (title === null ? null : sealValue(key, placeOfTitle(place), title)),
    events({ key: run, firstSeq: n, events }) {
      const items: StoredItem[] = []
      for (let at = 0; at < events.length;) {
        const spoken = untilEngine(events.slice(at))
        if (spoken.length === 0) items.push(...toStoredEvents(events.slice(at, at + 1)))
        else items.push(sealEvents(key, { run, n: n + at, events: spoken }))
        at += Math.max(1, spoken.length)
      }
      return items
    },
    details: (place, details) => sealValue(key, placeOfDetails(place), details),
    bytes: { keyId: key.id, seal: (place, part, bytes) => seal(key, placeOfBytes(place, part), bytes) },
    hash: (hash) => `hmac ${key.id} ${fingerprint(key, hash)}`,
  }
}

interface SpokenEvents {
  readonly run: RunKey
  readonly n: number
  readonly events: readonly RunEvent[]
}

function sealEvents(key: HeldKey, { run, n, events }: SpokenEvents): SealedEvents {
  const count = events.length
  return { type: 'sealed', n, count, data: sealValue(key, placeOfEvents(run, { n, count }), toStoredEvents(events)) }
}

/** The events before the first of the engine's own. */
function untilEngine(events: readonly RunEvent[]): readonly RunEvent[] {
  const end = events.findIndex(isOfEngine)
  return end === -1 ? events : events.slice(0, end)
}

function isOfEngine(event: RunEvent): event is EngineEvent {
  switch (event.type) {
    case 'run_queued':
    case 'run_started':
    case 'run_resumed':
      return true
    default:
      return isTerminalEvent(event)
  }
}

/** Says too how many events there are, so that a changed count does not open. */
function placeOfEvents(key: RunKey, { n, count }: Pick<SealedEvents, 'n' | 'count'>): string {
  return `events ${key} ${n} ${count}`
}

function placeOfMessage(key: MessageKey): string {
  return `message ${key}`
}

function placeOfJson({ part, of }: JsonPlace): string {
  return `${part} ${of}`
}

function placeOfDetails(key: AttachmentKey): string {
  return `attachment ${key}`
}

function placeOfBytes(key: BytesKey, part: number): string {
  return `bytes ${key} ${part}`
}

function placeOfTitle(key: SessionKey): string {
  return `title ${key}`
}

/** As the driver would store it: what fits a document in clear fits it sealed. */
function sealValue(key: HeldKey, place: string, value: unknown): Uint8Array {
  return seal(key, place, BSON.serialize({ value }, { ignoreUndefined: false }))
}

function openerOf(key: HeldKey, place: BytesKey): BytesOpener {
  return (part, sealed) => {
    const bytes = open(key, placeOfBytes(place, part), sealed)
    if (bytes === undefined) throw unreadable('damaged')
    return bytes
  }
}

function isSealedValue(stored: StoredDetails): stored is Sealed {
  return !('name' in stored)
}

async function unseal(ring: KeyRing | undefined, place: string, sealed: Sealed): Promise<unknown> {
  const bytes = sealed instanceof Uint8Array ? sealed : sealed.value()
  const keyId = keyIdOf(bytes)
  const text = keyId === undefined ? undefined : open(await requireKey(ring, keyId), place, bytes)
  if (text === undefined) throw unreadable('damaged')
  return BSON.deserialize(text)['value'] // whole, because its tag fits
}

async function requireKey(ring: KeyRing | undefined, keyId: string): Promise<HeldKey> {
  if (ring === undefined) throw unreadable('no_key_service')
  const key = await ring.find(keyId)
  if (key === undefined) throw unreadable('key_destroyed')
  return key
}

function unreadable(kind: 'damaged' | 'no_key_service' | 'key_destroyed'): VerbatimError {
  return errorOf('CONTENT_UNREADABLE', { data: { kind } })
}

function isUnreadable(error: unknown): boolean {
  return isVerbatimError(error) && error.code === 'CONTENT_UNREADABLE'
}
