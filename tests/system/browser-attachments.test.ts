/** Files at the chat page: chosen, pasted and dropped, seen before and after, by keyboard alone and at the width of a phone. */
import { randomBytes } from 'node:crypto'
import { mkdtempDisposable, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateSync } from 'node:zlib'
import { promptOf, saying, startProviderOf } from '@verbatim/test-kit/provider'
import type { Provider } from '@verbatim/test-kit/provider'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findViolations } from '../support/axe.ts'
import { openBrowserPage } from '../support/browser-page.ts'
import type { BrowserPage } from '../support/browser-page.ts'

/** A real picture of 64 × 64 points, with noise in it. */
function picture(): Buffer {
  const size = 64
  const rows = Array.from({ length: size }, () => Buffer.concat([Buffer.of(0), randomBytes(size * 3)]))
  const header = Buffer.alloc(13)
  header.writeUInt32BE(size, 0)
  header.writeUInt32BE(size, 4)
  header.set([8, 2, 0, 0, 0], 8)
  const chunks = [
    chunkOf('IHDR', header),
    chunkOf('IDAT', deflateSync(Buffer.concat(rows))),
    chunkOf('IEND', Buffer.alloc(0)),
  ]
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), ...chunks])
}

function chunkOf(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)]
  length.writeUInt32BE(data.length)
  sum.writeUInt32BE(crc32(body))
  return Buffer.concat([length, body, sum])
}

function crc32(bytes: Buffer): number {
  let sum = 0xffffffff
  for (const byte of bytes) {
    sum ^= byte
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0)
  }
  return (sum ^ 0xffffffff) >>> 0
}

describe('files at the chat page', { timeout: 120_000 }, () => {
  const held = new AsyncDisposableStack()
  const sent: string[][] = []
  let provider: Provider
  let opened: BrowserPage

  beforeAll(async () => {
    provider = held.use(
      await startProviderOf(() => async (call) => {
        sent.push((call.body.messages.at(-1)?.content ?? []).map(({ type }) => String(type)))
        await saying(`Seen: ${promptOf(call)}`)(call)
      }),
    )
    opened = held.use(await openBrowserPage(provider.url))
  }, 180_000)
  afterAll(async () => await held.disposeAsync())

  async function openTab(viewport = { width: 1_100, height: 760 }) {
    const context = await opened.page.context().browser()!.newContext({ viewport })
    const page = await context.newPage()
    await page.goto(opened.url)
    await page.getByTestId('empty').waitFor()
    return { page, [Symbol.asyncDispose]: async () => await context.close() }
  }

  const choose = async (page: Page, name: string, buffer = picture()) =>
    await page.getByTestId('file-input').setInputFiles({ name, mimeType: 'image/png', buffer })
  const ready = (page: Page) => page.locator('[data-testid=chosen-file][data-state=ready]')
  const shown = (page: Page) => page.locator('[data-testid=attached-files] img')

  test('a chosen picture is previewed, sent with the prompt, read by the model and there after a reload', async () => {
    await using tab = await openTab()
    const { page } = tab
    await choose(page, 'tree.png')
    await ready(page).waitFor()
    await page.getByTestId('composer').fill('What is this?')
    await page.getByTestId('send').click()
    await page.getByText('Seen: What is this?').waitFor()
    expect(sent.at(-1)).toEqual(['image', 'text'])
    expect(await page.getByTestId('chosen-file').count()).toBe(0)
    await shown(page).waitFor()
    await page.reload()
    await shown(page).waitFor()
    expect(await shown(page).evaluate((image) => (image as HTMLImageElement).naturalWidth)).toBe(64)
    expect(await findViolations(page)).toEqual([])
  })

  test('a file that is no picture by its bytes is refused beside its name, and does not keep the prompt from being sent', async () => {
    await using tab = await openTab()
    const { page } = tab
    await choose(page, 'program.png', Buffer.from([1, 2, 3, 0, 5, 6]))
    const refused = page.locator('[data-testid=chosen-file][data-state=refused]')
    await refused.waitFor()
    expect(await refused.innerText()).toContain('Files of this kind cannot be sent')
    // Its name says that it is a picture, and a broken one would confuse.
    expect(await refused.locator('img').isVisible()).toBe(false)
    await page.getByRole('button', { name: 'Remove program.png' }).click()
    expect(await page.getByTestId('chosen-file').count()).toBe(0)
    await page.getByTestId('composer').fill('Only words')
    await page.keyboard.press('Enter')
    await page.getByText('Seen: Only words').waitFor()
  })

  test('pictures can be pasted and dropped, and sent with the keyboard alone and without words', async () => {
    await using tab = await openTab()
    const { page } = tab
    const bytes = [...picture()]
    await page.evaluate((data) => {
      const transfer = new DataTransfer()
      transfer.items.add(new File([new Uint8Array(data)], 'pasted.png', { type: 'image/png' }))
      const field = document.querySelector('[data-testid=composer]')
      field?.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true, cancelable: true }))
      const drop = new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true })
      document.querySelector('main')?.dispatchEvent(drop)
    }, bytes)
    await expect.poll(async () => await ready(page).count()).toBe(2)
    await page.getByTestId('composer').focus()
    await page.keyboard.press('Shift+Tab')
    expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe('Attach files')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await expect.poll(async () => await shown(page).count(), { timeout: 20_000 }).toBe(2)
    await expect.poll(() => sent.at(-1)).toEqual(['image', 'image'])
  })

  test('at the width of a phone the files, the field and the buttons fit beside one another', async () => {
    await using tab = await openTab({ width: 360, height: 700 })
    const { page } = tab
    for (const name of ['one.png', 'a-picture-with-a-very-long-name-that-no-phone-shows.png', 'three.png'])
      await choose(page, name)
    await expect.poll(async () => await ready(page).count()).toBe(3)
    await page.getByTestId('composer').fill('On a phone')
    const width = await page.evaluate(() => document.documentElement.scrollWidth)
    expect(width).toBeLessThanOrEqual(360)
    const [clip, send] = [await page.getByTestId('attach').boundingBox(), await page.getByTestId('send').boundingBox()]
    expect(Math.abs((clip?.y ?? 0) - (send?.y ?? 1_000))).toBeLessThan(12)
    await using folder = await mkdtempDisposable(join(tmpdir(), 'verbatim-'))
    const huge = join(folder.path, 'huge.png')
    await writeFile(huge, picture())
    await truncate(huge, 40_000_000)
    await page.getByTestId('file-input').setInputFiles(huge)
    const refused = page.locator('[data-testid=chosen-file][data-state=refused]')
    await refused.waitFor()
    expect(await refused.innerText()).toContain('The file is too large')
    await expect.poll(async () => (await refused.boundingBox())?.x ?? 1_000).toBeLessThan(180)
  })
})
