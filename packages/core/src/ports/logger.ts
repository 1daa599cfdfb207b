/** Where the engine reports what an operator should know. It never receives a secret, a prompt or an answer. */
export interface Logger {
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}

/** The fields of a log line. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>

/** Reports nothing. */
export const silentLogger: Logger = Object.freeze({ info: ignore, warn: ignore, error: ignore })

function ignore(): void {}
