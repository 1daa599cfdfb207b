import { describe, expect, it } from 'vitest'
import { withLastMessage } from './last-message.ts'

const history = [
  { id: 'a', role: 'user', parts: [{ type: 'text', text: 'a "quoted], [text" \\ with é' }] },
  { id: 'b', role: 'assistant', parts: [[['deep']], { messages: [1, 2, 3] }, ',', ']'] },
  { id: 'c', role: 'user', parts: [{ type: 'text', text: 'the "last", one ]}' }] },
]

describe('the body without the messages that the server has itself', () => {
  it.each([
    ['after the id', { id: 'chat', messages: history, trigger: 'submit-message', nested: { messages: history } }],
    ['first, with nothing after it', { messages: history }],
    ['under another key too', { 'message\\"s': history, a: 'messages', b: [history], messages: history, c: [] }],
    ['empty', { id: 'chat', messages: [] }],
    ['no list', { id: 'chat', messages: { a: [1, 2] }, message: history[2] }],
    ['not there', { id: 'chat' }],
  ])('The list is %s: all else is kept, whichever way the bytes are cut', async (_where, body) => {
    for (const text of [JSON.stringify(body), JSON.stringify(body, undefined, 2)]) {
      for (const size of [1, 2, 7, 4_096]) {
        const kept: unknown = JSON.parse(await withLastMessage(cut(text, size), 10_000))
        const { messages } = body as { messages?: unknown }
        expect(kept).toEqual(Array.isArray(messages) ? { ...body, messages: messages.slice(-1) } : body)
      }
    }
  })

  it('A conversation of any length passes when its last message is small, and a large last message is refused', async () => {
    const long = Array.from({ length: 200 }, () => history).flat()
    expect(JSON.parse(await withLastMessage(cut(JSON.stringify({ messages: long }), 100), 400))).toEqual({
      messages: [history[2]],
    })
    const large = JSON.stringify({ messages: [...history, 'x'.repeat(400)], id: 'chat' })
    await expect(withLastMessage(cut(large, 100), 400)).rejects.toMatchObject({ code: 'PAYLOAD_TOO_LARGE' })
  })

  it.each(['{"messages":[1,2', '[1,2]', 'x', '{"messages":[1,2]]}', '{"a"}', '\u0000'])(
    'The text %s is no JSON before and after',
    async (text) => {
      const before = tryParse(text)
      expect(tryParse(await withLastMessage(cut(text, 3), 100))).toEqual(before)
    },
  )

  it('Bytes that are not UTF-8 are refused', async () => {
    await expect(withLastMessage(cut(Uint8Array.of(0x22, 0xff, 0x22), 1), 100)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
    })
  })
})

async function* cut(text: string | Uint8Array, size: number): AsyncGenerator<Uint8Array, void, void> {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return 'no JSON'
  }
}
