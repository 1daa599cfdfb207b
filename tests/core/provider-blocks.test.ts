/** Any blocks that a provider makes: through the real SDK into the store, and back to the provider, byte for byte. */
import { OtherBlock } from '@verbatim/core'
import { claude } from '@verbatim/core/claude'
import { callEnd, callStart, startProviderOf, textBlock, wholeBlock } from '@verbatim/test-kit/provider'
import type { ProviderReply } from '@verbatim/test-kit/provider'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { anyOtherBlock } from '../support/any-content.ts'
import { openOne } from '../support/engine.ts'
import { answerFrom, answerMessage, followAll, startRun } from '../support/follow.ts'

it('Blocks of types that no version knows go back in the body of the next request as the provider sent them', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyOtherBlock, { minLength: 1, maxLength: 6 }), async (blocks) => {
      const saying: ProviderReply = (call) => {
        call.send(
          callStart(),
          ...blocks.flatMap((block, at) => wholeBlock(at, block)),
          ...textBlock('Well.', blocks.length),
        )
        call.send(...callEnd())
        call.end()
      }
      await using provider = await startProviderOf(() => saying)
      const agent = claude({ apiKey: 'k', baseURL: provider.url, maxRetries: 0, compaction: false })
      await using test = await openOne({ agents: [agent] })
      const first = await startRun(test.engine)
      const live = answerFrom(await followAll(test.engine, first))
      const stored = (await answerMessage(test.engine, first)).content
      const second = await startRun(test.engine)
      await followAll(test.engine, second)
      expect(provider.complaints).toEqual([])
      const sent = JSON.stringify(blocks)
      expect(JSON.stringify(live.content.slice(0, -1))).toBe(sent)
      expect(JSON.stringify(stored.slice(0, -1))).toBe(sent)
      expect(provider.calls[1]?.json).toContain(sent.slice(1, -1))
    }),
    // Large numbers whose digits JavaScript writes as it read them. A smaller example is not worth minutes of MongoDB's time.
    {
      numRuns: 12,
      endOnFailure: true,
      examples: [[[OtherBlock.parse({ type: 'future_n', n: [-26683221924517835000, 1e20] })]]],
    },
  )
}, 120_000)
