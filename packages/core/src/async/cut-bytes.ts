/** The same bytes in pieces of `size`; only the last may be smaller. Holds one piece. */
export async function* cutBytes(
  bytes: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<Buffer<ArrayBuffer>, void, void> {
  let held: Uint8Array[] = []
  let heldBytes = 0
  for await (const chunk of bytes) {
    let rest = chunk
    while (heldBytes + rest.byteLength >= size) {
      const taken = rest.subarray(0, size - heldBytes)
      yield Buffer.concat([...held, taken])
      rest = rest.subarray(taken.byteLength)
      held = []
      heldBytes = 0
    }
    if (rest.byteLength > 0) held.push(rest)
    heldBytes += rest.byteLength
  }
  if (heldBytes > 0) yield Buffer.concat(held)
}
