/** The process environment, for what finds mongod: read here and nowhere else. */
export const processEnvironment: Readonly<Record<string, string | undefined>> = process.env
