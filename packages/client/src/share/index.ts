/** One connection for all tabs of a browser. */
export { shareStreams, type ShareOptions } from './share-streams.ts'
