/** The one place that reads the driver's errors. Shapes and codes are measured against killed, hung and stepped-down primaries. */
import { MongoBulkWriteError, MongoError, MongoServerError } from 'mongodb'
import { isVerbatimError, VerbatimError } from '../../contract/errors.ts'

const duplicateKey = 11_000
const missingNamespace = 26
const writeConflict = 112

/** The cursor of a read is gone, not the data: 43 not found, 136 its place in a capped collection, 175 and 237 killed, 286 its place in the oplog. */
const lostCursorCodes = [43, 136, 175, 237, 286]

/** Server codes after which the same operation may succeed: elections, shutdowns, unreachable majorities, lost cursors. */
const transientCodes = new Set([
  ...lostCursorCodes,
  6,
  7,
  64,
  89,
  91,
  112,
  133,
  134,
  189,
  251,
  262,
  9001,
  10_058,
  10_107,
  11_600,
  11_602,
  13_435,
  13_436,
  50_915,
])

/** The last is of an overloaded server, which has not begun the operation. */
const transientLabels = ['TransientTransactionError', 'RetryableWriteError', 'SystemOverloadedError']

/** Names of the driver's errors that mean "the server cannot be reached just now". */
const transientNames = new Set([
  'MongoNetworkError',
  'MongoNetworkTimeoutError',
  'MongoServerSelectionError',
  'MongoTopologyClosedError',
  'MongoPoolClearedError',
  'MongoPoolClearedOnNetworkError',
  'MongoWaitQueueTimeoutError',
  'MongoWriteConcernError',
  'MongoOperationTimeoutError',
])

/** A socket that was reset while idle throws a plain Error, not one of the driver's. */
const transientSocketCodes = new Set(['ECONNRESET', 'EPIPE', 'ECONNREFUSED', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN'])

/** A write met what a majority does not have yet, or what is gone since. No caller may learn of it so far: try again. */
export class NotCommittedYetError extends Error {
  override readonly name = 'NotCommittedYetError'
}

export function isDuplicateKey(error: unknown): boolean {
  return error instanceof MongoServerError && error.code === duplicateKey
}

/** The transaction met another one, and is undone: nothing of it is stored. */
export function isWriteConflict(error: unknown): boolean {
  return error instanceof MongoServerError && error.code === writeConflict
}

/**
 * What a database without change streams answers when one is opened: 13 not authorized, 59 and 115 no such command, 238 not implemented,
 * 303 and 323 not in its API, 8000 Atlas refuses it, 40324 no such stage, 40573 no replica set.
 */
const unsupportedStreamCodes = new Set([13, 59, 115, 238, 303, 323, 8000, 40_324, 40_573])

export function isUnsupportedStream(error: unknown): error is MongoServerError {
  return error instanceof MongoServerError && unsupportedStreamCodes.has(Number(error.code))
}

export function isMissingCollection(error: unknown): boolean {
  return error instanceof MongoServerError && error.code === missingNamespace
}

/** True when the operation may succeed if tried again; it may also have succeeded already. */
export function isTransient(error: unknown): boolean {
  if (error instanceof MongoBulkWriteError && tellsOfDocuments(error)) return isTransientBulkError(error)
  if (error instanceof MongoBulkWriteError && isTransient(wrappedError(error))) return true
  if (error instanceof MongoError) {
    if (transientNames.has(error.name)) return true
    if (transientLabels.some((label) => error.hasErrorLabel(label))) return true
    if (typeof error.code === 'number' && transientCodes.has(error.code)) return true
  }
  if (error instanceof NotCommittedYetError || isLostCommit(error)) return true
  return error instanceof Error && 'code' in error && transientSocketCodes.has(String(error.code))
}

/** True when a transaction may or may not be committed. Asking again is safe, and tells. */
export function isLostCommit(error: unknown): boolean {
  if (error instanceof MongoError) return error.hasErrorLabel('UnknownTransactionCommitResult')
  // The driver (7.9) takes the plain Error of a reset socket for its own, and throws a TypeError in its own commit.
  return error instanceof TypeError && error.message.includes('hasErrorLabel')
}

/**
 * False when the insert failed as a whole (a cut, an election): the driver wraps that in the same class, with an empty list
 * of failed documents, which must not be read as "every document is stored".
 */
function tellsOfDocuments(error: MongoBulkWriteError): boolean {
  return writeErrorsOf(error).length > 0 || error.result.getWriteConcernError() !== undefined
}

function wrappedError(error: MongoBulkWriteError): unknown {
  return error.errorResponse
}

function isTransientBulkError(error: MongoBulkWriteError): boolean {
  if (error.result.getWriteConcernError() !== undefined) return true
  return writeErrorsOf(error).every(({ code }) => code === duplicateKey || transientCodes.has(code))
}

/** The single errors of an unordered insert, with the position of the document each belongs to. */
export function writeErrorsOf(error: MongoBulkWriteError): { index: number; code: number }[] {
  const list = Array.isArray(error.writeErrors) ? error.writeErrors : [error.writeErrors]
  return list.map((one) => ({ index: one.index, code: one.code }))
}

/** Only duplicate keys: every other document of the insert is stored. */
export function isOnlyDuplicates(error: unknown): error is MongoBulkWriteError {
  return (
    error instanceof MongoBulkWriteError &&
    tellsOfDocuments(error) &&
    error.result.getWriteConcernError() === undefined &&
    writeErrorsOf(error).every((one) => one.code === duplicateKey)
  )
}

/** What leaves the repository: our own errors as they are, an unreachable database as `UNAVAILABLE`, bugs untouched. */
export function toVerbatimError(error: unknown): unknown {
  if (isVerbatimError(error) || !isTransient(error)) return error
  return unavailable(error)
}

export function unavailable(cause: unknown): VerbatimError {
  return new VerbatimError('UNAVAILABLE', 'The database cannot be reached just now; try again', {
    data: { retryAfterMs: 1_000 },
    cause,
  })
}

/** What a caller receives whose session has more writers than it can take: the database is well, and nothing is stored. */
export function contended(cause?: unknown): VerbatimError {
  return new VerbatimError('SESSION_BUSY', 'Too many calls write to this session at once; wait, then call again', {
    data: { kind: 'contention', retryAfterMs: 1_000 },
    cause,
  })
}

/** What a caller receives whose process has more to store than it can just now. Nothing is stored. */
export function overloaded(): VerbatimError {
  return new VerbatimError('OVERLOADED', 'The server has too much to store just now; wait, then call again', {
    data: { kind: 'writes', retryAfterMs: 1_000 },
  })
}
