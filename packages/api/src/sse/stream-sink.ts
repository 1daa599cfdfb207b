/** Where a stream's text goes: a Node response or a fetch body. It reports back through one listener object, set once. */
export interface StreamSink {
  /** Hands over `text` at once; false when the reader lags behind and {@link StreamSinkListener.onDrain} is to be waited for. */
  write(text: string): boolean
  /** The answer is whole. */
  end(): void
  /** Breaks the connection, so that the reader sees a cut and not an end. */
  destroy(): void
  listen(listener: StreamSinkListener): void
}

export interface StreamSinkListener {
  readonly onDrain: () => void
  /** The sink is gone, whoever ended it; called once. */
  readonly onClose: () => void
}
