/** What people do at the chat page besides reading: one server and one browser, a tab for each test. */
import { createClient } from '@verbatim/client'
import { textOf } from '@verbatim/core'
import {
  beginning,
  blockStop,
  callEnd,
  promptOf,
  saying,
  startProviderOf,
  textDelta,
} from '@verbatim/test-kit/provider'
import type { Provider, ProviderCall } from '@verbatim/test-kit/provider'
import type { BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findViolations } from '../support/axe.ts'
import { openBrowserPage } from '../support/browser-page.ts'
import type { BrowserPage } from '../support/browser-page.ts'

/** Prompts that begin with `slow` are answered when the test says so; all others at once. */
const gates = new Map<string, PromiseWithResolvers<void>>()

function gateOf(prompt: string): PromiseWithResolvers<void> {
  const gate = gates.get(prompt) ?? Promise.withResolvers<void>()
  gates.set(prompt, gate)
  return gate
}

/** Long enough to be drawn in groups. */
const longBlocks = `${'1. an item of a long list\n'.repeat(100)}\n| Name | Value |\n| --- | --: |\n${'| cell | **1** |\n'.repeat(150)}`

/** An answer's text, when the parser is here: until then there are its words alone, in an element that goes. */
const withMarks = '[data-role=assistant] .markdown:not(.waits-for-marks)'

async function answer(call: ProviderCall): Promise<void> {
  const prompt = promptOf(call)
  if (prompt === 'blocks') return await saying(longBlocks)(call)
  if (prompt === 'עברית') return await saying('זהו **טקסט** בעברית.\n\n- ראשון\n- שני\n\n> ציטוט')(call)
  if (!prompt.startsWith('slow')) return await saying(`Answer to ${prompt}.`)(call)
  await beginning('Begun. ')(call)
  const hasHungUp = await Promise.race([gateOf(prompt).promise, call.hungUp])
  if (hasHungUp !== true) call.send(textDelta(`Answer to ${prompt}.`), blockStop(), ...callEnd())
  call.end()
}

describe('the chat page', { timeout: 120_000 }, () => {
  const held = new AsyncDisposableStack()
  let provider: Provider
  let opened: BrowserPage

  beforeAll(async () => {
    provider = held.use(await startProviderOf(() => answer))
    opened = held.use(await openBrowserPage(provider.url))
  }, 180_000)
  afterAll(async () => await held.disposeAsync())

  /** A tab with a new session. */
  async function openTab(options: BrowserContextOptions = {}) {
    const context = await opened.page.context().browser()!.newContext(options)
    const page = await context.newPage()
    await page.goto(opened.url)
    await page.getByTestId('empty').waitFor()
    const composer = page.getByTestId('composer')
    const send = async (prompt: string) => {
      await composer.fill(prompt)
      await page.getByTestId('send').click()
    }
    return { page, composer, send, [Symbol.asyncDispose]: async () => await context.close() }
  }

  const promptsOf = async (page: Page) => await page.locator('[data-role=user] .prompt').allInnerTexts()
  const answersOf = async (page: Page) =>
    await page.locator('[data-role=assistant] .markdown').evaluateAll((all) => all.map((one) => one.textContent))

  test('Enter during an answer lets the prompt wait, visibly, and both are answered in order', async () => {
    await using tab = await openTab()
    const { page, composer } = tab
    await tab.send('slow first')
    await expect.poll(async () => await answersOf(page)).toEqual(['Begun.'])
    await composer.fill('second')
    await composer.press('Enter')
    await page.getByTestId('queued').waitFor()
    expect(await promptsOf(page)).toEqual(['slow first', 'second'])
    expect(await composer.inputValue()).toBe('')
    gateOf('slow first').resolve()
    await expect.poll(async () => await answersOf(page)).toEqual(['Begun. Answer to slow first.', 'Answer to second.'])
    await expect.poll(async () => await page.getByTestId('queued').count()).toBe(0)
    const sessionId = new URL(page.url()).hash.split('/').at(-1) ?? ''
    await using client = createClient({ url: opened.url })
    const storedTexts = async () => (await client.messages.list(sessionId)).items.map(({ content }) => textOf(content))
    await expect // the last word is on the page before the answer has ended
      .poll(storedTexts)
      .toEqual(['slow first', 'Begun. Answer to slow first.', 'second', 'Answer to second.'])
  })

  test('A prompt that waits can be taken back, and is never asked', async () => {
    await using tab = await openTab()
    const { page } = tab
    await tab.send('slow and alone')
    await expect.poll(async () => await answersOf(page)).toEqual(['Begun.'])
    await tab.send('never asked')
    await page.getByRole('button', { name: 'Take it back' }).click()
    await expect.poll(async () => await promptsOf(page)).toEqual(['slow and alone'])
    gateOf('slow and alone').resolve()
    await page.getByTestId('metrics').waitFor()
    expect(await promptsOf(page)).toEqual(['slow and alone'])
    expect(provider.calls.map(promptOf)).not.toContain('never asked')
  })

  test('An Enter of an input method picks a character and sends nothing, in the order of Safari too', async () => {
    await using tab = await openTab()
    const { page, composer } = tab
    await composer.fill('nihao')
    const press = async (init: { isComposing: boolean; keyCode: number }) =>
      await composer.evaluate((field, event) => {
        field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true, ...event }))
      }, init)
    await press({ isComposing: true, keyCode: 229 })
    await press({ isComposing: false, keyCode: 229 })
    expect(await composer.inputValue()).toBe('nihao')
    await press({ isComposing: false, keyCode: 13 })
    await expect.poll(async () => await answersOf(page)).toEqual(['Answer to nihao.'])
    expect(await promptsOf(page)).toEqual(['nihao'])
  })

  test('On a touch keyboard Enter begins a line, and the button sends', async () => {
    await using tab = await openTab({ hasTouch: true, isMobile: true, viewport: { width: 390, height: 780 } })
    const { page, composer } = tab
    await composer.fill('one')
    await composer.press('Enter')
    await composer.pressSequentially('two')
    expect(await composer.inputValue()).toBe('one\ntwo')
    await page.getByTestId('send').tap()
    await expect.poll(async () => await promptsOf(page)).toEqual(['one\ntwo'])
  })

  test('A draft stays with its session over reloads and visits of other sessions', async () => {
    await using tab = await openTab()
    const { page, composer, send } = tab
    await send('Hello')
    await expect.poll(async () => await answersOf(page)).toEqual(['Answer to Hello.'])
    await composer.fill('half a thought')
    await page.reload()
    await expect.poll(async () => await composer.inputValue()).toBe('half a thought')
    await page.getByTestId('new-chat').click()
    await expect.poll(async () => await composer.inputValue()).toBe('')
    await page.getByTestId('session-item').filter({ hasText: 'Hello' }).first().click()
    await expect.poll(async () => await composer.inputValue()).toBe('half a thought')
  })

  test('Keys stop, recall, search and list, and Esc closes the list before it stops an answer', async () => {
    await using tab = await openTab()
    const { page, composer, send } = tab
    await send('slow by keys')
    await expect.poll(async () => await answersOf(page)).toEqual(['Begun.'])
    await page.keyboard.press('Control+/')
    await page.getByRole('dialog').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    expect(await page.getByTestId('stop').count()).toBe(1)
    await composer.press('Escape')
    await page.getByTestId('outcome').waitFor()
    expect(await page.getByTestId('outcome').getAttribute('data-status')).toBe('cancelled')
    await composer.press('ArrowUp')
    expect(await composer.inputValue()).toBe('slow by keys')
    await page.keyboard.press('Control+k')
    await page.keyboard.type('BY slow') // the first key comes right after
    await expect.poll(async () => await page.getByTestId('session-item').allInnerTexts()).toEqual(['slow by keys'])
    await page.keyboard.type(' nowhere')
    await page.getByText('No title has these words.').waitFor()
    await page.keyboard.press('Escape')
    expect(await page.getByTestId('search').inputValue()).toBe('')
    await page.keyboard.type('by slow')
    await page.keyboard.press('Control+Shift+O')
    await page.getByTestId('empty').waitFor()
    expect(await page.getByTestId('search').inputValue()).toBe('')
    expect(await composer.inputValue()).toBe('')
  })

  test('The theme that was chosen stays over a reload, and comes before the first paint', async () => {
    await using tab = await openTab({ colorScheme: 'light' })
    const { page } = tab
    const background = async () => await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    const light = await background()
    await page.getByLabel('Theme').selectOption('dark')
    const dark = await background()
    expect(dark).not.toBe(light)
    await page.reload()
    await page.getByTestId('composer').waitFor()
    expect(await background()).toBe(dark)
    await page.getByLabel('Theme').selectOption('system')
    expect(await background()).toBe(light)
  })

  test('An answer in Hebrew begins at the right, with its list and its quote, and a prompt stands where prompts stand, in any language', async () => {
    await using tab = await openTab()
    const { page } = tab
    await tab.send('עברית')
    await page.getByTestId('metrics').waitFor()
    const answer = page.locator(withMarks)
    const styleOf = async (selector: string, name: string) =>
      await answer.locator(selector).evaluate((one, property) => getComputedStyle(one).getPropertyValue(property), name)
    expect(await answer.evaluate((one) => getComputedStyle(one).direction)).toBe('rtl')
    expect(await styleOf('ul', 'padding-right')).not.toBe('0px')
    expect(await styleOf('ul', 'padding-left')).toBe('0px')
    expect(await styleOf('blockquote', 'border-right-width')).toBe('3px')
    const prompt = page.locator('[data-role=user] .prompt')
    const rightOf = async (one: typeof prompt) => await one.evaluate((box) => box.getBoundingClientRect().right)
    expect(await prompt.locator('p').evaluate((one) => getComputedStyle(one).direction)).toBe('rtl')
    expect(await rightOf(prompt)).toBeCloseTo(await rightOf(page.locator('[data-role=user]')), 0)
  })

  test('On a page without a clipboard of its own an answer is copied by selection, and the focus stays', async () => {
    await using tab = await openTab()
    const { page, composer } = tab
    // As a page over plain HTTP is.
    await page.evaluate(() => void Object.defineProperty(globalThis, 'isSecureContext', { value: false }))
    await tab.send('to be copied')
    await page.getByTestId('metrics').waitFor()
    const button = page.getByRole('button', { name: 'Copy the answer' })
    await button.focus()
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Copied the answer' }).waitFor()
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Copied')
    await composer.press('Control+v')
    expect(await composer.inputValue()).toBe('Answer to to be copied.')
  })

  test('On paper there is the conversation alone, and all of it', async () => {
    await using tab = await openTab()
    const { page } = tab
    await tab.send('for paper')
    await page.getByTestId('metrics').waitFor()
    await page.locator(withMarks).waitFor()
    await page.locator('select.theme-field').selectOption('dark')
    await page.emulateMedia({ media: 'print' })
    expect(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme)).toBe('light')
    for (const name of ['.sidebar', '.dock', '.answer-actions'])
      expect(await page.locator(name).first().isVisible()).toBe(false)
    expect(await page.locator('[data-role=user] .prompt').isVisible()).toBe(true)
    expect(await page.locator(withMarks).isVisible()).toBe(true)
    const { overflow, skipped } = await page.locator('.scroller').evaluate((box) => ({
      overflow: getComputedStyle(box).overflowY,
      skipped: getComputedStyle(box.querySelector('.stretch')!).getPropertyValue('content-visibility'),
    }))
    expect([overflow, skipped]).toEqual(['visible', 'visible'])
  })

  test('A long prompt is folded, and opens', async () => {
    await using tab = await openTab()
    const { page, send } = tab
    await send(Array.from({ length: 60 }, (_, at) => `line ${at}`).join('\n'))
    const prompt = page.locator('[data-role=user] .prompt')
    const heightOf = async () => (await prompt.boundingBox())!.height
    await expect.poll(heightOf).toBeLessThan(250)
    await page.getByRole('button', { name: 'Show all of it' }).click()
    await expect.poll(heightOf).toBeGreaterThan(1_000)
  })

  test.each(['light', 'dark'] as const)(
    'axe finds nothing on any state of the page in the %s theme',
    async (colorScheme) => {
      await using tab = await openTab({ colorScheme, reducedMotion: 'reduce' })
      const { page, send } = tab
      expect(await findViolations(page)).toEqual([])
      const prompt = `slow in ${colorScheme}`
      await send(prompt)
      await expect.poll(async () => await answersOf(page)).toEqual(['Begun.'])
      await send('and then')
      await page.getByTestId('queued').waitFor()
      expect(await findViolations(page)).toEqual([])
      gateOf(prompt).resolve()
      await page.getByTestId('metrics').nth(1).waitFor()
      expect(await findViolations(page)).toEqual([])
      await send('blocks')
      await page.locator('.long-table').waitFor()
      await page.getByTestId('metrics').nth(2).waitFor()
      expect(await page.locator('.long-list > ol').count()).toBeGreaterThan(2)
      expect(await findViolations(page)).toEqual([])
      await page.keyboard.press('Control+/')
      await page.getByRole('dialog').waitFor()
      expect(await findViolations(page)).toEqual([])
      await page.keyboard.press('Escape')
      await page.setViewportSize({ width: 390, height: 780 })
      await page.getByRole('button', { name: 'Show the sessions' }).click()
      expect(await findViolations(page)).toEqual([])
    },
  )
})
