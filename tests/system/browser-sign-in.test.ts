/** The chat page of a server that has tokens, and what the page costs before its first prompt. */
import { request } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import { saying, startProviderOf } from '@verbatim/test-kit/provider'
import type { BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findViolations } from '../support/axe.ts'
import { openBrowserPage } from '../support/browser-page.ts'
import type { BrowserPage } from '../support/browser-page.ts'

const adasToken = 'the-token-of-ada-1234'
const bobsToken = 'the-token-of-bob-1234'

describe('the chat page of a server with tokens', { timeout: 120_000 }, () => {
  const held = new AsyncDisposableStack()
  let opened: BrowserPage

  beforeAll(async () => {
    const provider = held.use(await startProviderOf(() => saying('Locks order writers.')))
    const tokens = { VERBATIM_TOKENS: `${adasToken}=ada,${bobsToken}=bob` }
    opened = held.use(await openBrowserPage(provider.url, tokens))
  }, 180_000)
  afterAll(async () => await held.disposeAsync())

  async function openBrowser(options: BrowserContextOptions = {}) {
    const context = await opened.page.context().browser()!.newContext(options)
    return { context, [Symbol.asyncDispose]: async () => await context.close() }
  }

  async function openTab(context: BrowserContext): Promise<Page> {
    const page = await context.newPage()
    await page.goto(opened.url)
    return page
  }

  async function signIn(page: Page, token: string): Promise<void> {
    await page.getByTestId('token').fill(token)
    await page.getByTestId('token').press('Enter')
  }

  const focused = async (page: Page) =>
    await page.evaluate(() => document.activeElement?.getAttribute('data-testid') ?? document.activeElement?.tagName)

  test('The page says that a token is wrong, takes the right one, and a prompt is answered', async () => {
    await using browser = await openBrowser()
    const page = await openTab(browser.context)
    await expect.poll(async () => await focused(page)).toBe('token')
    for (const wrong of ['another-token-1234567', 'tökèn']) {
      await signIn(page, wrong)
      await expect.poll(async () => await page.getByTestId('token-error').count()).toBe(1)
      expect(await page.getByTestId('token-error').innerText()).toContain('does not accept this token')
      await expect.poll(async () => await focused(page)).toBe('token')
    }
    await signIn(page, ` ${adasToken} `)
    await page.getByTestId('empty').waitFor()
    expect(await focused(page)).toBe('composer')
    await page.getByTestId('composer').fill('Explain locks')
    await page.getByTestId('composer').press('Enter')
    await page.getByTestId('metrics').waitFor()
    expect(await page.getByTestId('answer').innerText()).toContain('Locks order writers.')
    // The list is of the same user, and the token stays in no address.
    await page.getByTestId('session-item').waitFor()
    expect(page.url()).not.toContain(adasToken)
  })

  test('A token stays as long as its tab, and over visits where the user wants it', async () => {
    await using browser = await openBrowser()
    const page = await openTab(browser.context)
    await signIn(page, adasToken)
    await page.getByTestId('empty').waitFor()
    await page.reload()
    await page.getByTestId('empty').waitFor()
    const second = await openTab(browser.context)
    await second.getByLabel('Keep me signed in').check()
    await signIn(second, adasToken)
    await second.getByTestId('empty').waitFor()
    await second.close()
    const third = await openTab(browser.context)
    await third.getByTestId('empty').waitFor()
    expect(await third.getByTestId('token').count()).toBe(0)
  })

  test('Signing out forgets the token and the drafts, in every tab, and shows the next user nothing', async () => {
    await using browser = await openBrowser()
    const page = await openTab(browser.context)
    await page.getByLabel('Keep me signed in').check()
    await signIn(page, adasToken)
    await page.getByTestId('composer').fill('Adas secret question')
    await page.getByTestId('composer').press('Enter')
    await page.getByTestId('metrics').waitFor()
    await page.getByTestId('composer').fill('Adas secret draft')
    const other = await openTab(browser.context)
    await other.getByTestId('session-item').first().waitFor()

    await page.getByTestId('sign-out').click()
    await page.getByTestId('token').waitFor()
    await other.getByTestId('token').waitFor()
    expect(await focused(page)).toBe('token')
    const kept = async () =>
      await page.evaluate(() => [localStorage, sessionStorage].map((store) => JSON.stringify(store)).join())
    expect(await kept()).not.toMatch(/Ada|ada|secret/)

    await signIn(page, bobsToken)
    await page.getByText('Your sessions will be listed here.').waitFor()
    expect(await page.locator('body').innerText()).not.toContain('secret')
  })

  test('A token that the server no longer accepts leads to the way in, with a word about it', async () => {
    await using browser = await openBrowser()
    await browser.context.addInitScript(() => {
      sessionStorage.setItem('verbatim:token', 'a-token-of-yesterday')
    })
    const page = await openTab(browser.context)
    await page.getByText('Your token is no longer valid').waitFor()
    await signIn(page, adasToken)
    await page.getByTestId('composer').waitFor()
    await page.getByText('Your sessions will be listed here.').or(page.getByTestId('session-item').first()).waitFor()
    expect(await page.getByTestId('error').count()).toBe(0)
  })

  test.each(['light', 'dark'] as const)('axe finds nothing on the way in, in the %s theme', async (colorScheme) => {
    await using browser = await openBrowser({ colorScheme, viewport: { width: 390, height: 780 } })
    const page = await openTab(browser.context)
    await signIn(page, 'another-token-1234567')
    await page.getByTestId('token-error').waitFor()
    expect(await findViolations(page)).toEqual([])
  })

  test('The page needs under 120 KB until its first prompt, as the server compresses it', async () => {
    const page = await gzipped(`${opened.url}/`)
    const paths = [
      ...gunzipSync(page.body)
        .toString()
        .matchAll(/(?:src|href)="(\/[^"]+)"/g),
    ].map(([, path]) => path!)
    const files = await Promise.all(paths.map(async (path) => await gzipped(opened.url + path)))
    const scripts = files.filter(({ headers }) => headers['content-type']?.includes('javascript'))
    expect(scripts).toHaveLength(1)
    expect(scripts[0]?.headers['content-encoding']).toBe('gzip')
    expect([page, ...files].reduce((sum, { body }) => sum + body.length, 0)).toBeLessThan(120_000)

    // Nothing else is needed: a browser that loads no further script shows the field and sends.
    await using browser = await openBrowser()
    await browser.context.route(/\/assets\/(?!index-)/, async (route) => await route.abort())
    const tab = await openTab(browser.context)
    await signIn(tab, adasToken)
    await tab.getByTestId('composer').fill('Without marks')
    await tab.getByTestId('composer').press('Enter')
    await tab.getByTestId('metrics').waitFor()
    expect(await tab.getByTestId('answer').innerText()).toContain('Locks order writers.')
  })
})

async function gzipped(url: string): Promise<{ headers: IncomingHttpHeaders; body: Buffer }> {
  return await new Promise((resolve, reject) => {
    const sent = request(url, { headers: { 'accept-encoding': 'gzip', accept: 'text/html' } }, (response) => {
      buffer(response).then((body) => resolve({ headers: response.headers, body }), reject)
    })
    sent.on('error', reject).end()
  })
}
