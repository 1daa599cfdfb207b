/** What an agent or a tool emits is bounded, in number and size: it lies in the log and, the newest of it, in one message. */
import type { z } from 'zod'
import { DataId, DataName } from '../../contract/data-part.ts'
import { describeIssue } from '../../contract/describe-issue.ts'
import { errorOf, VerbatimError } from '../../contract/errors.ts'
import type { DataEvent } from '../../contract/event.ts'
import { isJson } from '../../contract/json-value.ts'
import type { JsonValue } from '../../contract/json-value.ts'
import type { Agent } from '../../ports/agent.ts'
import { placeOfIssue } from './place-of-issue.ts'

export interface DataBounds {
  readonly maxDataEvents: number
  readonly maxDataBytes: number
}

/** Data as its agent gives it, before any check. */
export interface EmittedData {
  readonly name: unknown
  readonly data: unknown
  readonly id?: unknown
}

/**
 * Checks the data events of one run. The check answers the event with a copy of its data, as JSON says it: what the agent changes later
 * changes nothing. A refused event does not count.
 *
 * @param schemas of the names that the agent may use; any name and any JSON when left out
 * @throws VerbatimError (the check) `INVALID_INPUT` naming the field, `TOO_MUCH_DATA`
 */
export function createDataCheck(
  { maxDataEvents, maxDataBytes }: DataBounds,
  schemas: Agent['data'],
): (emitted: EmittedData) => DataEvent {
  let events = 0
  let bytes = 0
  return ({ name, data, id }) => {
    const known = parse(DataName, name, 'name')
    const json = toJson(schemas === undefined ? data : fitted(schemas, known, data))
    const event: DataEvent = {
      type: 'data',
      name: known,
      data: json.value,
      ...(id === undefined ? {} : { id: parse(DataId, id, 'id') }),
    }
    if (events === maxDataEvents) throw tooMuch({ kind: 'events', maxEvents: maxDataEvents })
    if (bytes + json.bytes > maxDataBytes) throw tooMuch({ kind: 'bytes', maxBytes: maxDataBytes })
    events++
    bytes += json.bytes
    return event
  }
}

function toJson(data: unknown): { readonly value: JsonValue; readonly bytes: number } {
  try {
    const text = JSON.stringify(data)
    // JSON.stringify escapes halves of characters only, and they would not come back from storage as they were sent.
    const value: unknown = text.includes('\\ud') ? JSON.parse(text, wellFormed) : JSON.parse(text)
    if (isJson(value)) return { value, bytes: Buffer.byteLength(text) }
  } catch {
    // A cycle, a bigint, or nothing at all: no JSON.
  }
  throw invalid('data', 'Must be JSON')
}

/** The data as the schema of its name answers it. */
function fitted(schemas: NonNullable<Agent['data']>, name: string, data: unknown): JsonValue {
  const schema = Object.hasOwn(schemas, name) ? schemas[name] : undefined
  if (schema === undefined) throw invalid('name', 'The agent has no data of this name')
  const parsed = schema.safeParse(data)
  if (!parsed.success) {
    const field = placeOfIssue(schema, parsed.error.issues[0])
    throw invalid(field === '' ? 'data' : `data.${field}`, "Does not fit the agent's schema")
  }
  if (isJson(parsed.data)) return parsed.data
  throw invalid('data', 'Its schema answers what is no JSON')
}

function invalid(field: string, reason: string): VerbatimError {
  return new VerbatimError('INVALID_INPUT', `${field}: ${reason}`, { data: { field } })
}

function wellFormed(_key: string, value: unknown): unknown {
  return typeof value === 'string' ? value.toWellFormed() : value
}

function parse(schema: z.ZodString, value: unknown, field: string): string {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const { reason } = describeIssue(parsed.error.issues[0])
  throw invalid(field, reason)
}

function tooMuch(data: VerbatimError['data']): VerbatimError {
  return errorOf('TOO_MUCH_DATA', { data })
}
