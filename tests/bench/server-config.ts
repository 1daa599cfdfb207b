import type { ApiOptionsInput } from '@verbatim/api'
import type { EngineOptionsInput } from '@verbatim/core/server'

/** The configuration of a server process of the bench, as JSON in its one argument. */
export interface ServerConfig {
  readonly uri: string
  readonly databaseName: string
  readonly options?: EngineOptionsInput
  readonly api?: ApiOptionsInput
  readonly changeStreams?: 'auto' | 'off'
  /** Measures how late its event loop is, which costs a little. */
  readonly watchesLoop?: boolean
  /** The servers give each other hints, with this secret. */
  readonly peerSecret?: string
}

/** What it can be asked; it answers each with one message. */
export type ServerQuestion = 'use' | 'collect' | 'stop'

export interface ServerUse {
  /** Since the process began. */
  readonly cpuMs: number
  readonly rssBytes: number
  /** Used heap and what it keeps outside, such as buffers. */
  readonly heapBytes: number
  readonly commits: number
  readonly followers: number
  /** How late the event loop was, at the 99th percentile since the last question; 0 unless it is watched. */
  readonly lateP99Ms: number
}
