/**
 * Reads a text line by line, each line once: a text that has grown is read on from its last whole line. So what is known of the lines
 * before costs nothing with the next token, however long the text is.
 * @param begin what is known before the first line
 * @param read what is known after one more line; only the last line may lack its newline
 */
export function createLineReader<TState>(
  begin: TState,
  read: (state: TState, line: string) => TState,
): (text: string) => TState {
  let known = ''
  let state = begin
  return (text) => {
    if (!text.startsWith(known)) {
      known = ''
      state = begin
    }
    let at = known.length
    for (let end = text.indexOf('\n', at); end !== -1; end = text.indexOf('\n', at)) {
      state = read(state, text.slice(at, end + 1))
      at = end + 1
    }
    known = text.slice(0, at)
    return at === text.length ? state : read(state, text.slice(at))
  }
}
