import 'vitest'

declare module 'vitest' {
  interface ProvidedContext {
    /** URI of the run's one mongod (a replica set). Each test file creates its own database and drops it at the end. */
    mongoUri: string
  }
}
