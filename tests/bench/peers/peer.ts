/** What the bench's server needs of a peer: streams of text under ids. */
export interface Peer {
  /** Begins a stream; resolves when it can be read. What is kept of it, and where, is the peer's. */
  begin(id: string, texts: AsyncIterable<string>): Promise<void>
  /** A stream that has begun, from its start. In the process that began it, this is its first reader. */
  read(id: string): Promise<AsyncIterable<string>>
}

/** Undefined where the peer is not installed. */
export type OpenPeer = (options: PeerOptions) => Promise<Peer | undefined>

export interface PeerOptions {
  /** Where the peers' packages are installed: a folder with node_modules. */
  readonly folder: string
  readonly mongoUri: string
  readonly databaseName: string
  readonly redisUrl?: string | undefined
}
