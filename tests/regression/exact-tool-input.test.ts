/**
 * What a model writes as a tool's input comes back to it byte for byte: in the next call of the same run and, from the database,
 * in every later run. Judged on the raw body of the request.
 */
import { ownerOf } from '@verbatim/core'
import { claude, tool } from '@verbatim/core/claude'
import type { Engine } from '@verbatim/core/server'
import { openTestEngine } from '@verbatim/core/testing'
import { callEnd, callStart, startProviderOf, textBlock, toolBlock } from '@verbatim/test-kit/provider'
import fc from 'fast-check'
import { expect, inject, it } from 'vitest'
import { z } from 'zod'

const ada = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })

const space = fc.constantFrom('', '', '', ' ', '\n  ', '\t', ' \r\n')
const literal = fc.oneof(
  fc.constantFrom(
    'null',
    'true',
    'false',
    '0',
    '-0',
    '0.10',
    '1E+5',
    '1e-7',
    '-1.50e3',
    '1e400',
    '2512292042121000001',
  ),
  fc.bigInt().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((one) => JSON.stringify(one)),
)
const string = fc.oneof(
  fc.constantFrom(
    '"\\u0041"',
    '"\\/"',
    '"\\ud83d\\ude00"',
    '"\\\\ud800"',
    '"\\u0000"',
    '"12345678901234567890"',
    '"\u2028"',
    '"a\\"b"',
  ),
  fc.string({ unit: 'grapheme', maxLength: 6 }).map((one) => JSON.stringify(one)),
)
const key = fc.oneof(fc.constantFrom('"10"', '"2"', '"a"', '"a"', '"__proto__"', '"toJSON"', '"$set"', '""'), string)

function spaced(parts: fc.Arbitrary<readonly string[]>, [begin, end]: readonly [string, string]) {
  return fc
    .tuple(parts, space, space)
    .map(([all, one, two]) => `${begin}${one}${all.join(`${two},${one}`)}${two}${end}`)
}

/** JSON of any spelling. The root is an object, as the API wants it. */
const { object, list } = fc.letrec<{ value: string; object: string; list: string }>((tie) => ({
  value: fc.oneof({ maxDepth: 3 }, literal, string, tie('object'), tie('list')),
  object: spaced(
    fc.array(
      fc.tuple(key, space, tie('value')).map(([name, gap, value]) => `${name}${gap}:${gap}${value}`),
      { maxLength: 4 },
    ),
    ['{', '}'],
  ),
  list: spaced(fc.array(tie('value'), { maxLength: 4 }), ['[', ']']),
}))

const samples = [
  '{"10":1,"2":2}',
  '{"a":1,"a":2}',
  '{"id": 2512292042121000001}',
  '{ "x" : 1.50, "y":1E+5 }',
  '{"big":1e400}',
  '{"__proto__":{"a":[1, 2]}}',
  '{\n  "text": "\\u00e9\\/"\n}',
  '[1,  2]',
]

/** The raw bodies of the requests after a model wrote `inputs`: of the next call in the run, and of the next run. */
async function bodiesAfter(inputs: readonly string[]): Promise<string[]> {
  await using provider = await startProviderOf((_call, nth) => (call) => {
    const calls = inputs.flatMap((json, at) => toolBlock(at, { id: `call_${at}`, name: 'echo', json }))
    const words = nth === 0 ? calls : textBlock('Done.')
    call.send(callStart(), ...words, ...callEnd(nth === 0 ? 'tool_use' : 'end_turn'))
    call.end()
  })
  const run = (_input: unknown, { inputJson }: { inputJson: string }) => ({ '2': inputJson, '1': [1.5, inputJson] })
  const echo = tool({ name: 'echo', description: 'Says it again', input: z.looseObject({}), run })
  const agent = claude({ apiKey: 'k', baseURL: provider.url, tools: [echo], maxRetries: 0 })
  await using test = await openTestEngine({ uri: inject('mongoUri'), agents: [agent] })
  await ask(test.engine, agent.id)
  await ask(test.engine, agent.id)
  expect(provider.complaints).toEqual([])
  return provider.calls.slice(1).map(({ json }) => json.replaceAll(',"cache_control":{"type":"ephemeral"}', ''))
}

async function ask(engine: Engine, agentId: string): Promise<void> {
  const runId = crypto.randomUUID()
  await engine.runs.start(ada, { sessionId: 's', agentId, runId, message: 'go' })
  for await (const _batch of engine.runs.follow(ada, runId, { signal: AbortSignal.timeout(25_000) })) continue
}

/** What a later request does not hold as it was. */
async function changedAfter(inputs: readonly string[]): Promise<string[]> {
  const blocks = inputs.map((text, at) => {
    const input = text.startsWith('{') ? text : `{"input":${text}}`
    return `{"type":"tool_use","id":"call_${at}","name":"echo","input":${input}}`
  })
  const calls = `{"role":"assistant","content":[${blocks.join(',')}]}`
  const [live = '', stored = ''] = await bodiesAfter(inputs)
  // The results of the tools too, and all else that was said.
  const said = live.slice(live.indexOf('"messages":['), live.lastIndexOf(']'))
  return [...(live.includes(calls) ? [] : [calls]), ...(stored.includes(said) ? [] : [said])]
}

it('the input of a tool goes back to the model byte for byte, in the same run and from the database', async () => {
  expect(await changedAfter(samples)).toEqual([])
})

it('any JSON that a model writes as the input of a tool goes back to it byte for byte', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof({ weight: 5, arbitrary: object }, list), { minLength: 1, maxLength: 20 }),
      async (inputs) => {
        expect(await changedAfter(inputs)).toEqual([])
      },
    ),
    { numRuns: 15, endOnFailure: true },
  )
}, 120_000)
