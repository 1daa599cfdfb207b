import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isBlank } from './blank.ts'
import { emptyAnswer, reduceEvents } from './reduce-events.ts'
import { isWholeInput, readToolInput, toolInputOf } from './tool-input.ts'

describe('the input of a tool call', () => {
  it.each([
    ['{"id": 2512292042121000001}', { id: '2512292042121000001' }],
    ['{"id": -9007199254740993}', { id: '-9007199254740993' }],
    ['{"big": 1e400}', { big: '1e400' }],
    ['[12345678901234567890e1]', ['12345678901234567890e1']],
  ])('the input %s reaches the tool with every digit, and its text is kept', (text, input) => {
    expect(readToolInput(text)).toEqual({ input, inputJson: text })
    expect(toolInputOf(readToolInput(text))).toEqual(input)
  })

  it.each([
    '{"id": 9007199254740992, "x": 1.50, "y": 1e3}',
    '{"s": "2512292042121000001 \\" 1e400"}',
    '{ "a" : [ 1 , -2.5 ] }',
  ])('the input %s is what JavaScript makes of it', (text) =>
    expect(readToolInput(text).input).toEqual(JSON.parse(text)),
  )

  it('an input is kept as text too where its JSON would be another text: other keys, numbers, letters or white space', () => {
    for (const text of [
      '{"2":1,"1":2}',
      '{"a":1,"a":2}',
      '{"a":"\\ud800"}',
      '{"a":-0}',
      '{"pi":3.14159265358979323846}',
      '{"a": 1}',
      '{"a":"\\u0041"}',
    ]) {
      expect(readToolInput(text).inputJson).toBe(text)
    }
    expect(readToolInput('{"a":1}')).toEqual({ input: { a: 1 } })
  })

  it.each([
    '{"a":1,"te',
    '{"a"',
    '{"a":1}}',
    'hello',
    '{"a":01}',
    '{12345678901234567890:1}',
    '{"a":012345678901234567890}',
  ])('the input %s is not whole, and comes back as its text', (text) => {
    const input = readToolInput(text)
    expect(input).toEqual({ input: { malformed: text }, inputJson: text })
    expect(isWholeInput(input)).toBe(false)
  })

  it('any JSON text comes back as that text or as the same value', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const { input, inputJson } = readToolInput(text)
        expect(JSON.parse(inputJson ?? JSON.stringify(input))).toEqual(JSON.parse(text))
        expect(isWholeInput({ input, ...(inputJson === undefined ? {} : { inputJson }) })).toBe(true)
      }),
    )
  })

  it.each([
    ['quotes of a string without an end', `"${String.raw`\"`.repeat(250_000)}`],
    ['zeros between two digits', `1${'0'.repeat(500_000)}1`],
    ['a fraction of zeros', `0.${'0'.repeat(500_000)}1`],
    ['backslashes', `"${String.raw`\\`.repeat(250_000)}"`],
    ['small numbers', `[${'1,'.repeat(250_000)}1]`],
    ['halves of characters', `"${String.raw`\ud83d`.repeat(80_000)}"`],
  ])('half a megabyte of %s is read in one walk', (_what, text) => {
    // A walk that begins again at each character would take minutes.
    expect(toolInputOf(readToolInput(text))).toBeDefined()
  })

  it('a number with a leading zero is no JSON, however many digits follow', () => {
    expect(readToolInput('{"a":0123456789012345678901}').input).toEqual({ malformed: '{"a":0123456789012345678901}' })
  })

  it('blocks that are streamed side by side each get their own input', () => {
    const start = (index: number) => ({
      type: 'content_block_start' as const,
      index,
      content_block: { type: 'tool_use' as const, id: `t${index}`, name: 'echo', input: {} },
    })
    const delta = (index: number, partial_json: string) => ({
      type: 'content_block_delta' as const,
      index,
      delta: { type: 'input_json_delta' as const, partial_json },
    })
    const stop = (index: number) => ({ type: 'content_block_stop' as const, index })
    const events = [
      start(0),
      start(1),
      delta(0, '{"a"'),
      delta(1, '{"b"'),
      delta(0, ':1}'),
      stop(0),
      delta(1, ':2}'),
      stop(1),
    ]
    const { content } = reduceEvents(emptyAnswer, { firstSeq: 1, events })
    expect(content).toMatchObject([{ input: { a: 1 } }, { input: { b: 2 } }])
  })
})

describe('text without anything to see', () => {
  it.each(['', ' \n\t', '\u200b', '\u2060\ufeff', '\u00ad', '\u3164', '\u2800', '\u200e\u202e', '\u0000'])(
    'the text %j is blank',
    (text) => {
      expect(isBlank(text)).toBe(true)
    },
  )

  it.each(['.', '\u200b.', '👩‍👩‍👧', '\uf8ff', 'ا', '0'])('the text %j is not blank', (text) =>
    expect(isBlank(text)).toBe(false),
  )
})
