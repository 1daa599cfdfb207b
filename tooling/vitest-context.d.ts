import 'vitest'

declare module 'vitest' {
  interface ProvidedContext {
    /** URI of the run's one mongod (a replica set): `inject('mongoUri')`. Make your own database in it, and drop it after. */
    mongoUri: string
  }
}
