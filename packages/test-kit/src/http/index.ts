/** Servers on real sockets. */
export { listen } from './listen.ts'
export type { ListeningServer } from './listen.ts'
