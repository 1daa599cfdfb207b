/** Servers on real sockets, and what goes over them. */
export { startCuttingProxy } from './cutting-proxy.ts'
export type { Cut, CuttingProxy } from './cutting-proxy.ts'
export { allFrames, framesUntil, readFrames } from './frames.ts'
export type { WireFrame } from './frames.ts'
export { listen } from './listen.ts'
export type { ListeningServer } from './listen.ts'
export { json, query, serve } from './serve.ts'
export type { Site } from './serve.ts'
