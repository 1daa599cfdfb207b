/** What an agent or a tool says besides text: progress, a chart, anything of the application's own, under a name. */
import { z } from 'zod'
import { JsonValue } from './json-value.ts'

/** Names the kind of data, such as `progress`. */
export const DataName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9._-]{0,63}$/, 'Use a letter and then letters, digits or . _ -, 64 at most')

/** Names the thing that the data is of: newer data of the same name and id takes the place of the older. */
export const DataId = z
  .string()
  .min(1)
  .max(128)
  .refine((text) => text.isWellFormed() && !text.includes('\0'), 'Must be well-formed text')

/** The newest data of a name and an id, as a message keeps it. */
export const DataPart = z.strictObject({ name: DataName, id: DataId.nullable(), data: JsonValue })
export type DataPart = z.infer<typeof DataPart>

/** Data as it is emitted; without an id it is of the name alone. */
export const dataFields = { name: DataName, data: JsonValue, id: DataId.optional() }

/** `parts` with what `said` says: in the place of the older of its name and id, or after all. */
export function withNewest(
  parts: readonly DataPart[],
  {
    name,
    id = null,
    data,
  }: { readonly name: string; readonly id?: string | undefined | null; readonly data: JsonValue },
): DataPart[] {
  const at = parts.findIndex((part) => part.name === name && part.id === id)
  return at === -1 ? [...parts, { name, id, data }] : parts.with(at, { name, id, data })
}
