/** A process environment, passed in by the program: this package reads none by itself. */
export type Environment = Readonly<Record<string, string | undefined>>
