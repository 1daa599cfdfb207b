/** The id of a process that gives hints ends with its address, `<uuid>@<host>:<port>`: so each lease tells where its holder is reached. */
import { z } from 'zod'

const port = '(\\d{1,5})'
const host = '([A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]{2,45}\\])'
const addressPattern = new RegExp(`^${host}:${port}$`)
const processPattern = new RegExp(`^([0-9a-f-]{36})@${host}:${port}$`)

/** `host:port`; an IPv6 address stands in brackets. */
export const PeerAddress = z
  .string()
  .refine(
    (text) => isPort(addressPattern.exec(text)?.[2]),
    'must be host:port, such as 10.0.0.4:8788 or [fd00::4]:8788',
  )

/** A process that gives hints. */
export interface Peer {
  /** Tells it from another process that listens at the same address later. */
  readonly id: string
  readonly host: string
  readonly port: number
}

/** @param address as {@link PeerAddress} checks it */
export function processIdOf(id: string, address: string): string {
  return `${id}@${address}`
}

/** The process that a lease names; undefined when it gives no hints. */
export function peerOf(processId: string): Peer | undefined {
  const [, id, address, portText] = processPattern.exec(processId) ?? []
  if (id === undefined || address === undefined || !isPort(portText)) return undefined
  return { id, host: unbracketed(address), port: Number(portText) }
}

/** @param address as {@link PeerAddress} checks it */
export function splitAddress(address: string): { host: string; port: number } {
  const [, name = '', portText = ''] = addressPattern.exec(address) ?? []
  return { host: unbracketed(name), port: Number(portText) }
}

export function joinAddress({ host: name, port: number }: { host: string; port: number }): string {
  return `${name.includes(':') ? `[${name}]` : name}:${number}`
}

function unbracketed(name: string): string {
  return name.replace(/^\[|\]$/g, '')
}

function isPort(text: string | undefined): boolean {
  return text !== undefined && Number(text) <= 65_535
}
