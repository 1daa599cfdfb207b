/** Where the engine reports what an operator should know. Never given a secret, a prompt or an answer. */
export interface Logger {
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}

/** What a line tells beside its message. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>

/** Reports nothing. */
export const silentLogger: Logger = Object.freeze({ info: ignore, warn: ignore, error: ignore })

function ignore(): void {}
