import { VerbatimError } from '../../contract/errors.ts'
import type { Page } from '../../contract/page.ts'

/** Where a list ordered by time and key goes on. */
export interface TimeCursor {
  readonly time: Date
  readonly key: string
}

export function toTimeCursor(time: Date, key: string): string {
  return `${time.getTime().toString(36)}.${key}`
}

const storageKey = /^[A-Za-z0-9_-]{32}$/

/** @throws VerbatimError `INVALID_CURSOR`, also when its key is no `form` */
export function fromTimeCursor(text: string, form = storageKey): TimeCursor {
  const [, time, key] = /^([0-9a-z]{1,10})\.(.{1,100})$/.exec(text) ?? []
  if (time === undefined || key === undefined || !form.test(key)) throw invalidCursor()
  return { time: new Date(Number.parseInt(time, 36)), key }
}

/** @throws VerbatimError `INVALID_CURSOR` */
export function fromSeqCursor(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw invalidCursor()
  return Number(text)
}

/** The page of the first `limit` of `found` (which holds one more when there is a next page). */
export async function toPage<TDocument, TItem>(
  found: readonly TDocument[],
  limit: number,
  translate: { toItem: (document: TDocument) => TItem | Promise<TItem>; toCursor: (document: TDocument) => string },
): Promise<Page<TItem>> {
  const shown = found.slice(0, limit)
  const last = shown.at(-1)
  return {
    items: await Promise.all(shown.map(translate.toItem)),
    nextCursor: found.length > limit && last !== undefined ? translate.toCursor(last) : null,
  }
}

function invalidCursor(): VerbatimError {
  return new VerbatimError('INVALID_CURSOR', 'The page cursor is malformed; list again without it', {
    data: { field: 'cursor' },
  })
}
