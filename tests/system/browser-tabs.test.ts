/** Seven tabs of one browser at a server that speaks HTTP/1.1, where a browser opens six connections to an origin. */
import { beginning, blockStop, callEnd, promptOf, startProviderOf, textDelta } from '@verbatim/test-kit/provider'
import type { Provider, ProviderCall } from '@verbatim/test-kit/provider'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openBrowserPage } from '../support/browser-page.ts'
import type { BrowserPage } from '../support/browser-page.ts'

const held = new AsyncDisposableStack()
const go = Promise.withResolvers<void>()
const goOnFrozen = Promise.withResolvers<void>()
let provider: Provider
let opened: BrowserPage

/** Every answer waits in its middle until the test lets all go on. */
async function answer(call: ProviderCall): Promise<void> {
  await beginning('Begun. ')(call)
  const gate = promptOf(call) === 'Frozen' ? goOnFrozen : go
  const hasHungUp = await Promise.race([gate.promise, call.hungUp])
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

test('a hidden tab leads the others, and when it is frozen in mid-answer they go on by themselves', async () => {
  const context = await opened.page.context().browser()!.newContext()
  const leader = await context.newPage()
  await leader.addInitScript(() => Object.defineProperty(document, 'visibilityState', { get: () => 'hidden' }))
  await leader.goto(opened.url)
  await leader.getByTestId('composer').waitFor()
  const page = await context.newPage()
  await page.goto(opened.url)
  await page.getByTestId('composer').fill('Frozen')
  await page.getByTestId('send').click()
  await page.getByText('Begun.').first().waitFor({ timeout: 15_000 })
  await leader.goto(page.url())
  await leader.getByText('Begun.').first().waitFor({ timeout: 15_000 })
  const devtools = await context.newCDPSession(leader)
  // A page that stands in the debugger runs nothing, as a frozen one does.
  await devtools.send('Debugger.enable')
  const paused = new Promise((resolve) => devtools.once('Debugger.paused', resolve))
  await devtools.send('Debugger.pause')
  const stuck = devtools.send('Runtime.evaluate', { expression: '1' })
  await paused
  goOnFrozen.resolve()
  await page.getByText('Begun. Done.').first().waitFor({ timeout: 20_000 })
  await page.getByTestId('metrics').waitFor()
  expect(await page.getByText('Done.').count()).toBe(1)
  await devtools.send('Debugger.disable')
  await stuck
  await leader.getByText('Begun. Done.').first().waitFor({ timeout: 20_000 })
  await context.close()
}, 180_000)
