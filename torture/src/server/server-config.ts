/** What a server process gets at its start. */
export interface ServerConfig {
  readonly mongoUri: string
  readonly databaseName: string
  readonly providerUrl: string
  readonly leases: Leases
  readonly archiveDelayMs: number
  readonly graceMs: number
  /** The server polls for what others write. */
  readonly withoutChangeStreams: boolean
  /** Servers give each other hints, with this secret. */
  readonly peerSecret: string | null
  /** Added to the engine's clock, in milliseconds. */
  readonly clockSkewMs: number
  /** Ends the process with SIGKILL before or after the nth call of its storage. */
  readonly crashAt: CrashPoint | null
}

export interface Leases {
  readonly heartbeatMs: number
  readonly selfFenceMs: number
  readonly leaseMs: number
  readonly recoveryMs: number
  readonly pollMs: number
}

export interface CrashPoint {
  readonly call: number
  readonly when: 'before' | 'after'
}

export type ToServer =
  | { readonly type: 'start'; readonly config: ServerConfig }
  /** The time that runs get after SIGTERM. */
  | { readonly type: 'grace'; readonly ms: number }
  /** Blocks the event loop. */
  | { readonly type: 'block'; readonly ms: number }

export type FromServer =
  | { readonly type: 'warm' }
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'log'; readonly level: 'warn' | 'error'; readonly text: string }
