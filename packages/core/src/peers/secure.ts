/**
 * TLS with the fleet's secret in place of certificates (TLS-PSK): each side proves that it has the secret, and what passes is private
 * and whole. The key exchange is ephemeral, so a secret that leaks later opens nothing that was recorded.
 */
import { hkdfSync } from 'node:crypto'
import { protocol } from './frames.ts'

export const tlsOptions = {
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
} as const

/** What the follower asks for: this protocol, of this process and no later one at its address. */
export function identityOf(id: string): string {
  return `${protocol} ${id}`
}

export function keyOf(secret: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', 'verbatim hints of peers', 32))
}
