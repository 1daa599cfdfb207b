/** Seven tabs of one browser at a server that speaks HTTP/1.1, where a browser opens six connections to an origin. */
import { beginning, blockStop, callEnd, startProviderOf, textDelta } from '@verbatim/test-kit/provider'
import type { Provider, ProviderCall } from '@verbatim/test-kit/provider'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openBrowserPage } from '../support/browser-page.ts'
import type { BrowserPage } from '../support/browser-page.ts'

const held = new AsyncDisposableStack()
const go = Promise.withResolvers<void>()
let provider: Provider
let opened: BrowserPage

/** Every answer waits in its middle until the test lets all go on. */
async function answer(call: ProviderCall): Promise<void> {
  await beginning('Begun. ')(call)
  const hasHungUp = await Promise.race([go.promise, call.hungUp])
  if (hasHungUp !== true) call.send(textDelta('Done.'), blockStop(), ...callEnd())
  call.end()
}

beforeAll(async () => {
  provider = held.use(await startProviderOf(() => answer))
  opened = held.use(await openBrowserPage(provider.url))
}, 180_000)
afterAll(async () => await held.disposeAsync())

test('seven tabs with an answer each all load and stream, Stop works at once, and the answers outlive the leading tab', async () => {
  const context = await opened.page.context().browser()!.newContext()
  const started = performance.now()
  const pages = []
  for (let nth = 1; nth <= 7; nth++) {
    const page = await context.newPage()
    await page.goto(opened.url)
    await page.getByTestId('composer').fill(`Prompt ${nth}`)
    await page.getByTestId('send').click()
    await page.getByText('Begun.').first().waitFor({ timeout: 15_000 })
    pages.push(page)
  }
  expect(performance.now() - started).toBeLessThan(100_000)
  const [first, second, ...others] = pages
  const stopping = performance.now()
  await second!.getByTestId('stop').click()
  await second!.getByTestId('send').waitFor({ timeout: 10_000 })
  expect(performance.now() - stopping).toBeLessThan(10_000)
  await first!.close() // it leads, as the oldest
  go.resolve()
  for (const page of others) await page.getByText('Begun. Done.').first().waitFor({ timeout: 15_000 })
  // Without a reload the list of a tab that was opened before has the session of the last one.
  await others[0]!.getByText('Prompt 7').first().waitFor({ timeout: 15_000 })
  await context.close()
}, 180_000)
