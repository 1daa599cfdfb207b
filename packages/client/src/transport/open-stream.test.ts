import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createSseParser } from './open-stream.ts'
import type { SseFrame } from './open-stream.ts'

function parseBytes(bytes: Uint8Array, cuts: readonly number[]): SseFrame[] {
  const parser = createSseParser()
  const decoder = new TextDecoder()
  const edges = [0, ...[...cuts].toSorted((a, b) => a - b), bytes.length]
  return edges.slice(1).flatMap((end, index) => {
    return parser.push(decoder.decode(bytes.subarray(edges[index], end), { stream: true }))
  })
}

const line = fc.string({ unit: 'binary', maxLength: 40 }).map((text) => text.replaceAll(/[\r\n]/g, ' '))
const frame = fc.record({
  event: fc.constantFrom('', 'ping', 'connected', 'return'),
  data: fc.array(line, { minLength: 1, maxLength: 3 }),
})
const eol = fc.constantFrom('\n', '\r\n', '\r')

describe('the parser of event streams', () => {
  it('gives the same frames however the bytes are cut', () => {
    const input = fc.record({
      frames: fc.array(frame, { maxLength: 6 }),
      eol,
      cuts: fc.array(fc.nat(2000), { maxLength: 30 }),
    })
    fc.assert(
      fc.property(input, ({ frames, eol: end, cuts }) => {
        const text = frames
          .map(({ event, data }) => {
            const lines = [
              ...(event === '' ? [] : [`event: ${event}`]),
              ': a comment',
              'id: x:1',
              ...data.map((part) => `data: ${part}`),
            ]
            return `${lines.join(end)}${end}${end}`
          })
          .join('')
        const bytes = new TextEncoder().encode(text)
        const expected = frames.map(({ event, data }) => ({
          event: event === '' ? 'message' : event,
          data: data.map((part) => part.toWellFormed()).join('\n'),
        }))
        expect(
          parseBytes(
            bytes,
            cuts.map((cut) => Math.min(cut, bytes.length)),
          ),
        ).toEqual(expected)
      }),
      { numRuns: 300 },
    )
  })

  it('gives the same frames when every byte comes alone', () => {
    const text =
      'event: connected\r\ndata: {}\r\n\r\n\r\ndata: {"text":"größer 🌍"}\nid: a:1\n\nevent: return\ndata: \n\n'
    const bytes = new TextEncoder().encode(text)
    expect(parseBytes(bytes, Array.from(bytes.keys()))).toEqual([
      { event: 'connected', data: '{}' },
      { event: 'message', data: '{"text":"größer 🌍"}' },
      { event: 'return', data: '' },
    ])
  })

  it('does not give a frame that was never ended', () => {
    expect(createSseParser().push('data: {"firstSeq":1}\n')).toEqual([])
  })

  it('remembers the reconnection time of the stream, and only when it is a number', () => {
    const parser = createSseParser()
    parser.push('retry: 50\n\n')
    expect(parser.retryMs).toBe(50)
    parser.push('retry: soon\n\n')
    expect(parser.retryMs).toBe(50)
  })

  it('refuses a frame that never ends instead of holding all of it', () => {
    const parser = createSseParser({ maxFrameChars: 1000 })
    expect(() => {
      for (let index = 0; index < 100; index++) parser.push('data: and so on and on\n')
    }).toThrowError(expect.objectContaining({ code: 'PAYLOAD_TOO_LARGE' }))
  })

  it.each(['\n', '\r', 'a'])('takes time in proportion to the input: %j', (piece) => {
    const measure = (length: number): number => {
      const text = `${piece.repeat(length)}\n\n`
      const start = process.cpuUsage()
      const parser = createSseParser()
      for (let at = 0; at < text.length; at += 1024) parser.push(text.slice(at, at + 1024))
      const { user, system } = process.cpuUsage(start)
      return (user + system) / 1_000
    }
    const least = (length: number): number => Math.min(...[1, 2, 3].map(() => measure(length)))
    // Quadratic work would take 100 times as long for 10 times the input; CPU time, and the least of it, so that a busy
    // machine makes no difference.
    expect(least(2_000_000)).toBeLessThan(50 * (least(200_000) + 5))
  })
})
