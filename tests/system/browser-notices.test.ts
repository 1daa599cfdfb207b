/** What the chat page says when something is not as it should be, and how it goes on: one server and one browser. */
import { createClient } from '@verbatim/client'
import { cutContinuationPrompt } from '@verbatim/core'
import {
  beginning,
  blockStop,
  callEnd,
  callStart,
  promptOf,
  saying,
  startProviderOf,
  streaming,
  textBlock,
  textDelta,
} from '@verbatim/test-kit/provider'
import type { ProviderCall } from '@verbatim/test-kit/provider'
import type { BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findViolations } from '../support/axe.ts'
import { openBrowserPage } from '../support/browser-page.ts'
import type { BrowserPage } from '../support/browser-page.ts'

const busy = new Set<string>()
const gates = new Map<string, PromiseWithResolvers<void>>()

function gateOf(prompt: string): PromiseWithResolvers<void> {
  const gate = gates.get(prompt) ?? Promise.withResolvers<void>()
  gates.set(prompt, gate)
  return gate
}

async function answer(call: ProviderCall): Promise<void> {
  const prompt = promptOf(call)
  if (prompt.startsWith('busy') && !busy.has(prompt)) {
    busy.add(prompt)
    call.refuse(529, { 'retry-after': '2' })
    return
  }
  if (prompt.startsWith('cut')) {
    return await streaming(callStart(), ...textBlock('```js\nconst one = 1\nconst tw'), ...callEnd('max_tokens'))(call)
  }
  if (prompt === cutContinuationPrompt) return await saying('o = 2\n```')(call)
  if (prompt.startsWith('empty')) return await streaming(callStart(), ...callEnd())(call)
  if (!prompt.startsWith('slow')) return await saying(`Answer to ${prompt}.`)(call)
  await beginning('Begun. ')(call)
  await Promise.race([gateOf(prompt).promise, call.hungUp])
  call.send(textDelta('Done.'), blockStop(), ...callEnd())
  call.end()
}

describe('the notices of the chat page', { timeout: 120_000 }, () => {
  const held = new AsyncDisposableStack()
  let opened: BrowserPage

  beforeAll(async () => {
    const provider = held.use(await startProviderOf(() => answer))
    opened = held.use(await openBrowserPage(provider.url))
  }, 180_000)
  afterAll(async () => await held.disposeAsync())

  async function openTab(options: BrowserContextOptions = {}) {
    const context = await opened.page
      .context()
      .browser()!
      .newContext({ reducedMotion: 'reduce', ...options })
    const page = await context.newPage()
    await page.goto(opened.url)
    await page.getByTestId('composer').waitFor()
    const send = async (prompt: string) => {
      await page.getByTestId('composer').fill(prompt)
      await page.getByTestId('send').click()
    }
    return { page, context, send, [Symbol.asyncDispose]: async () => await context.close() }
  }

  const answersOf = async (page: Page) =>
    await page.locator('[data-role=assistant] .markdown').evaluateAll((all) => all.map((one) => one.textContent))

  test('A busy model is named while the agent waits to ask it again, and the word goes with the answer', async () => {
    await using tab = await openTab()
    const { page, send } = tab
    await send('busy model')
    await expect.poll(async () => await page.getByTestId('status').innerText()).toContain('The model is busy')
    expect(await findViolations(page)).toEqual([])
    await expect.poll(async () => await answersOf(page)).toEqual(['Answer to busy model.'])
    expect(await page.getByTestId('status').innerText()).toBe('')
  })

  test('An answer that reached its length says so, and goes on in its place after Continue, also in the middle of code', async () => {
    await using tab = await openTab()
    const { page, send } = tab
    await send('cut short')
    await page.getByTestId('outcome').waitFor()
    expect(await page.getByTestId('outcome').innerText()).toContain('greatest length')
    expect(await findViolations(page)).toEqual([])
    await page.getByTestId('go-on').press('Enter')
    const code = async () => await page.getByTestId('code').locator('code').allInnerTexts()
    await expect.poll(code).toEqual(['const one = 1\nconst two = 2'])
    await expect.poll(async () => await page.getByTestId('go-on').count()).toBe(0)
    expect(await page.getByTestId('message').count()).toBe(2)
    expect(await page.evaluate(() => document.activeElement?.getAttribute('data-testid'))).toBe('composer')
    await page.reload()
    await expect.poll(code).toEqual(['const one = 1\nconst two = 2'])
    expect(await page.getByTestId('message').count()).toBe(2)
  })

  test('An empty answer says what it is, and can be asked for again', async () => {
    await using tab = await openTab()
    const { page, send } = tab
    await send('empty answer')
    await page.getByTestId('outcome').waitFor()
    await expect.poll(async () => await page.getByTestId('outcome').innerText()).toContain('ended without an answer')
    expect(await page.getByTestId('regenerate').innerText()).toBe('Try again')
    expect(await findViolations(page)).toEqual([])
  })

  test('Without a network the page says that nothing is lost, and goes on by itself when there is one', async () => {
    await using tab = await openTab()
    const { page, context, send } = tab
    await send('slow network')
    await expect.poll(async () => await answersOf(page)).toEqual(['Begun.'])
    await context.setOffline(true)
    await expect.poll(async () => await page.getByTestId('status').innerText()).toContain('You are offline')
    expect(await page.getByTestId('error').count()).toBe(0)
    expect(await findViolations(page)).toEqual([])
    gateOf('slow network').resolve()
    await context.setOffline(false)
    await expect.poll(async () => await answersOf(page)).toEqual(['Begun. Done.'])
    await page.getByTestId('metrics').waitFor()
    expect(await page.getByTestId('status').innerText()).toBe('')
    expect(await page.getByTestId('error').count()).toBe(0)
  })

  test('A prompt that is too long comes back with a word about it, which goes when the text is another', async () => {
    await using tab = await openTab()
    const { page, send } = tab
    const long = 'a long text '.repeat(50_000)
    await send(long)
    await page.getByTestId('error').waitFor()
    expect(await page.getByTestId('error').innerText()).toContain('too long')
    expect(await page.getByTestId('composer').inputValue()).toBe(long)
    await page.getByTestId('composer').fill('short')
    await expect.poll(async () => await page.getByTestId('error').count()).toBe(0)
    await page.getByTestId('composer').press('Enter')
    await expect.poll(async () => await answersOf(page)).toEqual(['Answer to short.'])
  })

  test('Earlier messages come by themselves, and what one reads stays where it is', async () => {
    await using client = createClient({ url: opened.url })
    const sessionId = crypto.randomUUID()
    for (let at = 0; at < 80; at += 1) await client.chat(sessionId).send(`message ${at} of many`).message
    await using tab = await openTab({ viewport: { width: 390, height: 700 } })
    const { page } = tab
    await page.goto(`${opened.url}/#/s/${sessionId}`)
    const messages = page.getByTestId('message')
    await messages.filter({ hasText: 'Answer to message 79 ' }).waitFor()
    const scroller = page.locator('.scroller')
    // Above the window the oldest pages are not asked for yet.
    expect(await messages.count()).toBeLessThan(160)
    while ((await messages.filter({ hasText: 'Answer to message 0 ' }).count()) === 0) {
      const count = await messages.count()
      await scroller.evaluate((box) => box.scrollTo({ top: 300 }))
      const places = async () =>
        await messages.evaluateAll((all) =>
          all.map((one) => [one.textContent, Math.round(one.getBoundingClientRect().top)] as const),
        )
      const before = (await places()).find(([, top]) => top > 100)!
      await expect.poll(async () => await messages.count()).toBeGreaterThan(count)
      const after = (await places()).find(([text]) => text === before[0])!
      expect(Math.abs(after[1] - before[1])).toBeLessThanOrEqual(2)
    }
    expect(await messages.count()).toBe(160)
    expect(await page.getByTestId('older').count()).toBe(0)
  })

  test('Keys rename and delete the session that is open, and the focus is never lost', async () => {
    await using tab = await openTab()
    const { page, send } = tab
    await send('by key alone')
    const item = page.getByTestId('session-item').filter({ hasText: 'by key alone' })
    await item.waitFor()
    await page.getByTestId('metrics').waitFor()
    await page.keyboard.press('F2')
    expect(await findViolations(page)).toEqual([])
    await page.keyboard.type('another name')
    await page.keyboard.press('Enter')
    await page.getByTestId('session-item').filter({ hasText: 'another name' }).waitFor()
    await expect
      .poll(async () => await page.evaluate(() => document.activeElement?.getAttribute('data-testid')))
      .toBe('session-item')
    page.once('dialog', (dialog) => void dialog.accept())
    const steps = await page.evaluate(() => history.length)
    await page.keyboard.press('Control+Shift+Backspace')
    await page.getByTestId('empty').waitFor()
    // The new chat took the place of the deleted one: Back does not lead there.
    expect(await page.evaluate(() => history.length)).toBe(steps)
    await expect.poll(async () => await page.getByText('another name').count()).toBe(0)
    expect(await page.evaluate(() => document.activeElement?.getAttribute('data-testid'))).toBe('composer')
  })

  test('After a delete on a phone the menu is closed, and the address of the session says so instead of its messages', async () => {
    await using tab = await openTab({ viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true })
    const { page, context, send } = tab
    await send('to be deleted')
    await page.getByTestId('metrics').waitFor()
    const other = await context.newPage()
    await other.goto(page.url())
    await other.getByTestId('metrics').waitFor()
    await page.getByRole('button', { name: 'Show the sessions' }).tap()
    page.once('dialog', (dialog) => void dialog.accept())
    await page.getByRole('button', { name: 'Delete to be deleted' }).tap()
    await page.getByTestId('empty').waitFor()
    expect(await page.locator('#sidebar').getAttribute('data-open')).toBe('false')
    await expect
      .poll(async () => await page.evaluate(() => document.activeElement?.getAttribute('aria-label')))
      .toBe('Show the sessions')
    await other.reload()
    await expect
      .poll(async () => await other.getByTestId('error').allInnerTexts())
      .toEqual([expect.stringContaining('deleted')])
    expect(await other.getByTestId('message').count()).toBe(0)
    await other.getByTestId('error').getByRole('button', { name: 'New chat' }).tap()
    await other.getByTestId('empty').waitFor()
    expect(await other.getByTestId('error').count()).toBe(0)
  })
})
