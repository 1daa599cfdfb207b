/** The chat page shows where an answer has its facts from: links that lead out of the page and run nothing. */
import {
  blockStop,
  callEnd,
  callStart,
  serverToolBlock,
  startProviderOf,
  textBlock,
  textDelta,
  textStart,
  wholeBlock,
} from '@verbatim/test-kit/provider'
import type { ProviderReply } from '@verbatim/test-kit/provider'
import { expect, it } from 'vitest'
import { findViolations } from '../support/axe.ts'
import { openBrowserPage } from '../support/browser-page.ts'

const cats = { url: 'https://cats.example/grey', title: 'Cats at night' }
const evil = { url: 'javascript:document.title="owned"', title: 'Free cats' }
const dogs = { url: 'https://dogs.example/', title: '<img src=x onerror=alert(1)>' }

const cite = (source: object) => ({
  type: 'content_block_delta',
  index: 3,
  delta: {
    type: 'citations_delta',
    citation: { type: 'web_search_result_location', cited_text: 'At night all cats are grey.', ...source },
  },
})

/** An answer as Claude gives it that has searched the web. */
const searched: ProviderReply = (call) => {
  const results = [cats, evil, dogs].map((page) => ({ type: 'web_search_result', ...page, encrypted_content: 'x' }))
  call.send(
    callStart(),
    ...textBlock('Let me look that up.'),
    ...serverToolBlock(1, { id: 'srvtoolu_1', name: 'web_search', input: { query: 'grey cats' } }),
    ...wholeBlock(2, { type: 'web_search_tool_result', tool_use_id: 'srvtoolu_1', content: results } as {
      type: string
    }),
    textStart(3),
    ...[cats, evil, dogs].map(cite),
    textDelta('At night, all cats are grey.', 3),
    blockStop(3),
    ...wholeBlock(4, { type: 'hologram', html: '<b>secret</b>' } as { type: string }),
    ...callEnd(),
  )
  call.end()
}

it('The page numbers what an answer cites and lists its sources as links that run nothing', async () => {
  await using provider = await startProviderOf(() => searched)
  await using opened = await openBrowserPage(provider.url)
  const { page } = opened
  await page.goto(opened.url)
  await page.getByTestId('composer').fill('What colour are cats?')
  await page.getByTestId('send').click()
  const sources = page.getByTestId('sources')
  await sources.waitFor()
  expect(await sources.locator('li').allInnerTexts()).toEqual([
    'Cats at night cats.example',
    'Free cats',
    '<img src=x onerror=alert(1)> dogs.example',
  ])
  for (const links of [sources.locator('a'), page.getByTestId('citation')]) {
    const found = await links.evaluateAll((all) =>
      all.map((one) => [one.getAttribute('href'), one.getAttribute('rel')]),
    )
    expect(found).toEqual([
      ['https://cats.example/grey', 'noopener noreferrer'],
      ['https://dogs.example/', 'noopener noreferrer'],
    ])
  }
  expect(await page.locator('.citation').allInnerTexts()).toEqual(['1', '2', '3'])
  const tool = page.getByTestId('tool')
  expect([await tool.getAttribute('data-state'), await tool.locator('code').first().innerText()]).toEqual([
    'done',
    'web_search',
  ])
  expect(await page.getByTestId('answer').innerText()).not.toContain('secret')
  // The same after a reload, from the store.
  await page.reload()
  await sources.waitFor()
  expect(await sources.locator('a').count()).toBe(2)
  expect(await page.title()).not.toBe('owned')
  expect(await findViolations(page)).toEqual([])
}, 120_000)
