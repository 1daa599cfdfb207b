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
  formulas: 'Einstein says $E = mc^2$, and\n\n\\[\n\\int_0^1 x\\,dx = \\frac{1}{2}\n\\]\n\nIt costs $5 and $6.',
  colors: '```js\n// why\nconst text = "words"\n```',
  words: 'Only **words**.',
}

/** What a prompt's answer waits for before its rest, and before its end. */
const gates = new Map<string, Record<'begun' | 'drawn', PromiseWithResolvers<void>>>()

function gatesOf(prompt: string) {
  const known = gates.get(prompt) ?? {
    begun: Promise.withResolvers<void>(),
    drawn: Promise.withResolvers<void>(),
  }
  gates.set(prompt, known)
  return known
}

/** Sends the answer as a fast model does: a few words at a time, and some of them at once. */
async function answer(call: ProviderCall): Promise<void> {
  await beginning('')(call)
  const pieces = (answers[promptOf(call).replace('at once: ', '')] ?? 'Nothing.').match(/[^]{1,40}/g) ?? []
  if (promptOf(call).startsWith('at once')) {
    const { begun, drawn } = gatesOf(promptOf(call))
    call.send(...pieces.splice(0, 5).map((piece) => textDelta(piece)))
    await Promise.race([begun.promise, call.hungUp])
    call.send(...pieces.splice(0).map((piece) => textDelta(piece)))
    await Promise.race([drawn.promise, call.hungUp])
  }
  for (let at = 0; at < pieces.length; at += 10) {
    call.send(...pieces.slice(at, at + 10).map((piece) => textDelta(piece)))
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  call.send(blockStop(), ...callEnd())
  call.end()
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

  test.each(['list', 'paragraph', 'code', 'table'])(
    'While a %s of 80 KB streams, the page draws what is new only, and takes every key',
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
      const { addedElements } = await page.evaluate(() => (globalThis as unknown as { work: Work }).work)
      const shown = await page.locator('.markdown').evaluate((all) => all.getElementsByTagName('*').length + 1)
      // Each element is made when it comes, and some once more: not all of them for every token.
      expect(addedElements).toBeLessThan(shown * 2 + 3_000)
    },
  )

  test.each(['list', 'table', 'code', 'paragraph'])(
    'However much of a %s comes at once, a frame draws a few thousand characters of it',
    async (prompt) => {
      await using tab = await openTab()
      const { page } = tab
      const { begun, drawn } = gatesOf(`at once: ${prompt}`)
      await tab.send(`at once: ${prompt}`)
      await page.locator('.stretch').waitFor()
      await page.evaluate(observeWork)
      begun.resolve()
      await expect.poll(async () => lettersOf(await textOf(page))).toBe(lettersOf(answers[prompt]!))
      const { mostInFrame } = await page.evaluate(() => (globalThis as unknown as { work: Work }).work)
      expect(mostInFrame).toBeLessThan(12_000)
      const inSight = await page.locator('.markdown *').evaluateAll((all) => {
        return all.filter((one) => one.checkVisibility({ contentVisibilityAuto: true })).length
      })
      // A paragraph has no rows that could be left out, and some thousand words with marks.
      expect(inSight).toBeLessThan(prompt === 'paragraph' ? 10_000 : 1_000)
      drawn.resolve()
    },
  )

  test('A quote of 80 KB, which cannot be cut, is parsed by a worker', async () => {
    await using tab = await openTab()
    const { page, scripts } = tab
    await tab.send('quote')
    await page.getByTestId('metrics').waitFor()
    await expect.poll(async () => await page.locator('.markdown blockquote em').count()).toBeGreaterThan(1_000)
    await expect.poll(async () => lettersOf(await textOf(page))).toBe(lettersOf(answers['quote']!))
    expect(scripts.filter((path) => path.includes('parse-worker'))).toHaveLength(1)
  })

  test('The code of a long answer is copied as it was written', async () => {
    await using tab = await openTab()
    const { page } = tab
    await tab.send('code')
    await page.getByTestId('metrics').waitFor()
    const selected = await page
      .getByTestId('code')
      .locator('pre')
      .evaluate((pre) => {
        getSelection()?.selectAllChildren(pre)
        return getSelection()?.toString()
      })
    expect(selected?.trim()).toBe(code.trim())
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
