import { startMongod, type StartMongodOptions } from './start-mongod.ts'

/** A MongoDB to connect to, and the way to release it. */
export type ResolvedMongo = AsyncDisposable &
  Readonly<{
    uri: string
    /** Stops the server if it was started here. */
    stop(): Promise<void>
  }>

/** `MONGODB_URI` if the environment has it, else a server started here. @throws as `startMongod` does. */
export async function resolveMongoUri(options: StartMongodOptions): Promise<ResolvedMongo> {
  const given = options.env['MONGODB_URI'] ?? ''
  if (given !== '') {
    const stop = async () => {}
    return { uri: given, stop, [Symbol.asyncDispose]: stop }
  }
  const { uri, stop } = await startMongod(options)
  return { uri, stop, [Symbol.asyncDispose]: stop }
}
