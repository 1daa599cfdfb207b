/** What a server process is told when it is to start. */
export interface ServerConfig {
  readonly mongoUri: string
  readonly databaseName: string
  readonly providerUrl: string
  readonly leases: Leases
  readonly archiveDelayMs: number
  readonly graceMs: number
  /** Added to the engine's clock, in milliseconds. */
  readonly clockSkewMs: number
  /** Ends the process with SIGKILL at the n-th call of its storage, before or after the call. */
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
  /** How long runs may go on behind SIGTERM. */
  | { readonly type: 'grace'; readonly ms: number }
  /** Keeps the event loop busy. */
  | { readonly type: 'block'; readonly ms: number }

export type FromServer =
  | { readonly type: 'warm' }
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'log'; readonly level: 'warn' | 'error'; readonly text: string }
