import { maxPromptBytes, VerbatimError } from '@verbatim/core'

/** All of a pipe as one prompt. @throws VerbatimError `INVALID_INPUT` when it is empty, `MESSAGE_TOO_LARGE` */
export async function readPrompt(stream: AsyncIterable<Buffer>): Promise<string> {
  const prompt = await readPipe(stream)
  if (prompt.trim() === '') throw new VerbatimError('INVALID_INPUT', 'There is no prompt; name one, or pipe one in')
  return prompt
}

/** All of a pipe, without the white space at its end. @throws VerbatimError `MESSAGE_TOO_LARGE` */
export async function readPipe(stream: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of stream) {
    bytes += part.length
    // An endless pipe ends here, not with the memory.
    if (bytes > maxPromptBytes) {
      throw new VerbatimError('MESSAGE_TOO_LARGE', `A prompt may have ${maxPromptBytes} bytes; shorten or split it`)
    }
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8').trimEnd()
}
