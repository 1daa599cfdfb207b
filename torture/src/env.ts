/** The process environment, from which the harness finds mongod. No other file reads it. */
export const processEnvironment: Readonly<Record<string, string | undefined>> = process.env
