/** Long answers in a real browser: the page draws what is new, and keys are not held up. Colors and formulas come when needed. */
import { beginning, blockStop, callEnd, promptOf, startProviderOf, textDelta } from '@verbatim/test-kit/provider'
import type { Provider, ProviderCall } from '@verbatim/test-kit/provider'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openBrowserPage } from '../support/browser-page.ts'
import type { BrowserPage } from '../support/browser-page.ts'

function fill(size: number, unit: (at: number) => string): string {
  let text = ''
  for (let at = 0; text.length < size; at += 1) text += unit(at)
  return text
}

const size = 80_000
const code = fill(size, (at) => `const value${at} = ${at} // a line\n`)

const answers: Readonly<Record<string, string>> = {
  list: fill(size, (at) => `- item **${at}** of a long list with \`code\`\n`),
  paragraph: fill(size, (at) => `Sentence ${at} says *something* about \`locks\`. `),
  code: `\`\`\`ts\n${code}\`\`\``,
  table: `| Name | Value |\n| :-- | --: |\n${fill(size, (at) => `| cell **${at}** | \`${at}\` |\n`)}`,
  quote: fill(size, (at) => `> Line ${at} of a quote with *words*\n`),
  blocks: fill(size, (at) => `- Item ${at} with *words*\n\n  and more of it\n\n`),
  formulas: 'Einstein says $E = mc^2$, and\n\n\\[\n\\int_0^1 x\\,dx = \\frac{1}{2}\n\\]\n\nIt costs $5 and $6.',
  colors: '```js\n// why\nconst text = "words"\n```',
  words: 'Only **words**.',
}

/** So many characters come as a fast model sends them: a few words at a time, and some of them at once. The rest comes all at once. */
const pacedCharacters = 24_000

async function answer(call: ProviderCall): Promise<void> {
  await beginning('')(call)
  const text = answers[promptOf(call)] ?? 'Nothing.'
  for (let at = 0; at < Math.min(text.length, pacedCharacters); at += 400) {
    call.send(...deltasOf(text.slice(at, Math.min(at + 400, pacedCharacters))))
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  call.send(...deltasOf(text.slice(pacedCharacters)), blockStop(), ...callEnd())
  call.end()
}

function deltasOf(text: string) {
  return (text.match(/[^]{1,40}/g) ?? []).map((piece) => textDelta(piece))
}

describe('long answers on the chat page', { timeout: 180_000 }, () => {
  const held = new AsyncDisposableStack()
  let provider: Provider
  let opened: BrowserPage

  beforeAll(async () => {
    provider = held.use(await startProviderOf(() => answer))
    opened = held.use(await openBrowserPage(provider.url))
  }, 180_000)
  afterAll(async () => await held.disposeAsync())

  async function openTab() {
    const context = await opened.page.context().browser()!.newContext({ reducedMotion: 'reduce' })
    const page = await context.newPage()
    const scripts: string[] = []
    page.on('request', (request) => void scripts.push(new URL(request.url()).pathname))
    await page.goto(opened.url)
    await page.getByTestId('empty').waitFor()
    const send = async (prompt: string) => {
      await page.getByTestId('composer').fill(prompt)
      await page.getByTestId('send').click()
    }
    return { page, send, scripts, [Symbol.asyncDispose]: async () => await context.close() }
  }

  /** Without the head of code, which is the page's own. */
  const textOf = async (page: Page) =>
    (await page.locator('.markdown').evaluate((all) => all.textContent)).replace(/^ts *Copy/, '')
  const lettersOf = (text: string) => text.replace('```ts', '').replaceAll(/[^\p{L}\d]+/gu, '')

  const isDone = async (page: Page) => (await page.getByTestId('metrics').count()) > 0

  test.each(['list', 'paragraph', 'code', 'table', 'quote'])(
    'While a %s of 80 KB comes, by a few words and at once, a frame draws a few thousand characters, what is drawn stays, and every key is taken',
    async (prompt) => {
      await using tab = await openTab()
      const { page } = tab
      await page.evaluate(observeWork)
      await tab.send(prompt)
      await page.locator('.markdown').waitFor()
      let typed = ''
      while (!(await isDone(page))) {
        const key = String.fromCodePoint(97 + (typed.length % 26))
        await page.getByTestId('composer').pressSequentially(key)
        typed += key
      }
      expect(await page.getByTestId('composer').inputValue()).toBe(typed)
      expect(typed).not.toBe('')
      // What came faster than it could be drawn is drawn when the answer is whole.
      await expect.poll(async () => lettersOf(await textOf(page))).toBe(lettersOf(answers[prompt]!))
      const { addedElements, mostInFrame } = await page.evaluate(() => (globalThis as unknown as { work: Work }).work)
      expect(mostInFrame).toBeLessThan(12_000)
      const { shown, inSight } = await page.locator('.markdown').evaluate((markdown) => {
        const all = [...markdown.getElementsByTagName('*')]
        const inSight = all.filter((one) => one.checkVisibility({ contentVisibilityAuto: true })).length
        return { shown: all.length + 1, inSight }
      })
      // Each element is made when it comes, and some once more: not all of them for every token.
      expect(addedElements).toBeLessThan(shown * 2 + 3_000)
      // A paragraph has no rows that could be left out, and some thousand words with marks; so has this quote.
      expect(inSight).toBeLessThan(['paragraph', 'quote'].includes(prompt) ? 10_000 : 1_000)
      const copied = prompt === 'code' ? await selectedCode(page) : undefined
      expect(copied?.trim()).toBe(prompt === 'code' ? code.trim() : undefined)
    },
  )

  /** What the browser copies of all the code, also of what is out of sight. */
  const selectedCode = async (page: Page) =>
    await page
      .getByTestId('code')
      .locator('pre')
      .evaluate((pre) => {
        getSelection()?.selectAllChildren(pre)
        return getSelection()?.toString()
      })

  test('A list of 80 KB with blocks in its items, which cannot be cut, is parsed by a worker', async () => {
    await using tab = await openTab()
    const { page, scripts } = tab
    await tab.send('blocks')
    await page.getByTestId('metrics').waitFor()
    await expect.poll(async () => await page.locator('.markdown li em').count()).toBeGreaterThan(1_000)
    await expect.poll(async () => lettersOf(await textOf(page))).toBe(lettersOf(answers['blocks']!))
    expect(scripts.filter((path) => path.includes('parse-worker'))).toHaveLength(1)
  })

  test('Formulas are drawn with what comes with the first one, and prices stay prices', async () => {
    await using tab = await openTab()
    const { page, scripts } = tab
    await tab.send('words')
    await page.getByTestId('metrics').waitFor()
    expect(scripts.filter((path) => /render-math|worker/.test(path))).toEqual([])
    await tab.send('formulas')
    await page.getByTestId('metrics').nth(1).waitFor()
    await expect.poll(async () => await page.locator('math').count()).toBe(2)
    expect(await page.locator('mfrac').count()).toBe(1)
    expect(await page.getByTestId('answer').last().innerText()).toContain('It costs $5 and $6.')
    expect(scripts.filter((path) => path.includes('render-math'))).toHaveLength(1)
  })

  test('Code is colored with what comes with the first code, and its text is left alone', async () => {
    await using tab = await openTab()
    const { page, scripts } = tab
    await tab.send('colors')
    await page.getByTestId('metrics').waitFor()
    const colored = async () =>
      await page.evaluate(() =>
        ['keyword', 'string', 'comment'].map((scope) =>
          [...(CSS.highlights.get(`code-${scope}`) ?? [])].map((range) => {
            const { startContainer, startOffset, endOffset } = range
            return startContainer.textContent?.slice(startOffset, endOffset)
          }),
        ),
      )
    await expect.poll(colored).toEqual([['const'], ['"words"'], ['// why']])
    expect(await page.getByTestId('code').locator('pre').innerHTML()).not.toContain('hljs')
    expect(scripts.filter((path) => path.includes('color-worker'))).toHaveLength(1)
    await page.getByTestId('new-chat').click()
    await page.getByTestId('empty').waitFor()
    await expect.poll(colored).toEqual([[], [], []])
  })
})

interface Work {
  addedElements: number
  /** The most characters that were drawn between two frames. */
  mostInFrame: number
}

/** Runs in the page: counts the elements that are made, and the characters. */
function observeWork(): void {
  const work: Work = { addedElements: 0, mostInFrame: 0 }
  Object.assign(globalThis, { work })
  let inFrame = 0
  new MutationObserver((records) => {
    for (const { addedNodes, target, oldValue } of records) {
      if (oldValue !== null) inFrame += (target.textContent?.length ?? 0) - oldValue.length
      for (const node of addedNodes) {
        inFrame += node.textContent?.length ?? 0
        if (node instanceof Element) work.addedElements += 1 + node.getElementsByTagName('*').length
      }
    }
    work.mostInFrame = Math.max(work.mostInFrame, inFrame)
  }).observe(document.body, { childList: true, subtree: true, characterData: true, characterDataOldValue: true })
  const next = () => {
    inFrame = 0
    requestAnimationFrame(next)
  }
  next()
}
