import type { ApiOptionsInput } from '@verbatim/api'
import type { EngineOptionsInput } from '@verbatim/core/server'

/** The server under attack: its one argument, as JSON. */
export interface HostileServerConfig {
  readonly uri: string
  readonly databaseName: string
  readonly options?: EngineOptionsInput
  readonly api?: ApiOptionsInput
  /** The hostile users that have a {@link fullSessionId}. */
  readonly fullSessionUsers?: readonly string[]
}

/** Any message to the server asks for this; every figure is of the time since the question before. */
export interface ServerStrain {
  /** The most resident memory that was seen. */
  readonly rssBytes: number
  /** The longest time for which the event loop was held, in milliseconds. */
  readonly heldMs: number
  /** What the server had of one core, from 0 to 1; a busy machine changes it little. */
  readonly cpuShare: number
}

/** The hostile caller's session that took days to fill: its hundred newest messages are 512 KiB each, so a page of them is 50 MB. */
export const fullSessionId = 'full'

/** What an operator would set for people who chat: far above what the honest users here do, which is a turn or two each second. */
export const chatLimits = {
  principal: {
    startsPerMinute: 240,
    bytesPerMinute: 20 * 1024 * 1024,
    activeRuns: 20,
    followers: 50,
    sessions: 2_000,
  },
} as const satisfies EngineOptionsInput['limits']

/** What the users' agent says: `tokens` words, one each `everyMs`, each with the time when it was made. */
export interface AnswerPlan {
  readonly tokens: number
  readonly everyMs: number
}

/** The answer to a prompt that is no {@link AnswerPlan}. */
export const defaultAnswer: AnswerPlan = { tokens: 20, everyMs: 20 }
