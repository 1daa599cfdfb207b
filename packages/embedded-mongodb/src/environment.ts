/** A process environment. The program passes it in; this package does not read its own. */
export type Environment = Readonly<Record<string, string | undefined>>
