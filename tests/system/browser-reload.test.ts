import { createClient } from '@verbatim/client'
import { textOf } from '@verbatim/core'
import type { Page } from 'playwright-core'
import { expect, it } from 'vitest'
import { beginning, startProvider, textDelta } from '@verbatim/test-kit/provider'
import { openBrowserPage } from '../support/browser-page.ts'

/** The words of a text, without Markdown's marks and the page's copy buttons: what must be there, each once and in order. */
function wordsOf(text: string): string[] {
  return (text.match(/\p{L}+/gu) ?? []).filter((word) => word !== 'Copy')
}

const firstHalf = `## While you reload

What was **said** before is there again, and the rest follows:

- no word is lost,
- and none is said twice. Here is the mid`

const secondHalf = `dle of a word.

\`\`\`sh
curl http://127.0.0.1:8787/health/live
\`\`\`

And this is the *end*.`

/** A few letters at a time, as a model speaks. */
function deltasOf(text: string) {
  return (text.match(/[^]{1,7}/g) ?? []).map((piece) => textDelta(piece))
}

function answerText(page: Page): Promise<string> {
  return page.getByTestId('answer').last().innerText()
}

it(
  'after a reload in mid-answer the page shows every word once and the rest of the answer',
  { timeout: 180_000 },
  async () => {
    await using provider = await startProvider(async (call) => {
      await beginning()(call)
      call.send(...deltasOf(firstHalf))
    })
    await using opened = await openBrowserPage(provider.url)
    const { page } = opened
    const starts: string[] = []
    page.on('request', (request) => {
      if (request.url().includes('runs.start')) starts.push(request.url())
    })
    await page.goto(opened.url)
    await page.getByTestId('composer').fill('Tell me how this works, please')
    await page.getByTestId('send').click()
    const wordsShown = async () => wordsOf(await answerText(page))
    await expect.poll(wordsShown).toEqual(wordsOf(firstHalf))

    await page.reload()
    await expect.poll(wordsShown).toEqual(wordsOf(firstHalf))
    // Still being made: this is the middle, not the end.
    expect(await page.getByTestId('stop').count()).toBe(1)
    expect(await page.getByTestId('metrics').count()).toBe(0)

    const [call] = provider.calls
    call!.send(...deltasOf(secondHalf))
    await expect.poll(wordsShown).toEqual(wordsOf(firstHalf + secondHalf))
    call!.finish()
    await page.getByTestId('metrics').waitFor({ timeout: 60_000 })
    expect(starts).toHaveLength(1)
    expect(provider.calls).toHaveLength(1)
    const roles = await page
      .getByTestId('message')
      .evaluateAll((all) => all.map((one) => one.getAttribute('data-role')))
    expect(roles).toEqual(['user', 'assistant'])
    const shown = await answerText(page)

    // What is shown is the stored message: a page that loads it afterwards shows the same.
    const sessionId = new URL(page.url()).hash.split('/').at(-1) ?? ''
    await using client = createClient({ url: opened.url })
    const { items } = await client.messages.list(sessionId)
    expect(items.map((message) => message.status)).toEqual(['completed', 'completed'])
    expect(textOf(items[1]?.content ?? [])).toBe(firstHalf + secondHalf)
    const stored = wordsOf(firstHalf + secondHalf)
    const figures = wordsOf(await page.getByTestId('metrics').innerText())
    expect(wordsOf(shown).slice(0, stored.length + figures.length)).toEqual([...stored, ...figures])
    await page.reload()
    await page.getByTestId('metrics').waitFor()
    await expect.poll(async () => await answerText(page)).toBe(shown)
  },
)
