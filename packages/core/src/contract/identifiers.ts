import { z } from 'zod'

/** A session's id: the caller's own or a random UUID. Unique per owner: two owners may both have a `session-1`. */
export const SessionId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:@~-]{0,127}$/, 'Use 1 to 128 letters, digits or . _ : @ ~ -')
export type SessionId = z.infer<typeof SessionId>

/** A run's id: a UUID the client makes; it is the idempotency key of `runs.start`. */
export const RunId = z.uuid().toLowerCase()
export type RunId = z.infer<typeof RunId>

const uuid =
  /^(?:[\dA-Fa-f]{8}-[\dA-Fa-f]{4}-[1-8][\dA-Fa-f]{3}-[89ABab][\dA-Fa-f]{3}-[\dA-Fa-f]{12}|0{8}(?:-0{4}){3}-0{12}|f{8}(?:-f{4}){3}-f{12})$/

/** As {@link RunId} reads it, without the schema: a page that only follows runs carries no schemas. */
export function readRunId(text: string): RunId | undefined {
  return uuid.test(text) ? text.toLowerCase() : undefined
}

/** A message's id: a UUID. */
export const MessageId = z.uuid().toLowerCase()
export type MessageId = z.infer<typeof MessageId>

/** An attachment's id: a UUID the client makes; it is the idempotency key of the upload. */
export const AttachmentId = z.uuid().toLowerCase()
export type AttachmentId = z.infer<typeof AttachmentId>

/** An agent's id, as the server's configuration names it. */
export const AgentId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'Use 1 to 64 letters, digits or . _ -')
export type AgentId = z.infer<typeof AgentId>

/** A random UUID (version 4). Not `crypto.randomUUID`: browsers have it on https and loopback pages only. */
export function randomUuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
