import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createClient } from '@verbatim/client'
import { textOf } from '@verbatim/core'
import { openTestDatabase } from '@verbatim/core/testing'
import { chromium } from 'playwright-core'
import type { Page } from 'playwright-core'
import { expect, inject, it } from 'vitest'
import { ensureChromium } from '../support/chromium.ts'
import { env } from '../support/env.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** The page as `npm start` serves it; built here when it has not been. */
async function buildPage(): Promise<void> {
  if (existsSync(`${root}apps/web/dist/index.html`)) return
  const build = spawn('pnpm', ['exec', 'turbo', 'run', 'build', '--filter=@verbatim/web'], {
    cwd: root,
    stdio: 'inherit',
  })
  const [code] = await once(build, 'close')
  if (code !== 0) throw new Error('The page could not be built; see above')
}

/** The program of `npm start`, with the demo model, over the tests' MongoDB. */
async function startProgram(databaseName: string) {
  const main = `${root}apps/server/src/main.ts`
  const child = spawn(process.execPath, ['--conditions=verbatim-source', main], {
    env: { PATH: env['PATH'], PORT: '0', MONGODB_URI: inject('mongoUri'), VERBATIM_DATABASE: databaseName },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let printed = ''
  for await (const text of child.stdout.setEncoding('utf8')) {
    printed += String(text)
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(printed)?.[0]
    if (url !== undefined) return { url, stop: () => child.kill('SIGKILL') }
  }
  throw new Error(`The server did not start: ${printed}`)
}

/** The words of a text, without Markdown's marks and the page's copy buttons: what must be there, each once and in order. */
function wordsOf(text: string): string[] {
  return (text.match(/\p{L}+/gu) ?? []).filter((word) => word !== 'Copy')
}

function answerText(page: Page): Promise<string> {
  return page.getByTestId('answer').last().innerText()
}

it(
  'goes on with an answer after a reload in its middle, with nothing lost and nothing twice',
  { timeout: 180_000 },
  async () => {
    await buildPage()
    await using database = await openTestDatabase(inject('mongoUri'))
    const program = await startProgram(database.databaseName)
    const browser = await chromium.launch({
      executablePath: await ensureChromium(),
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    })
    try {
      const page = await browser.newPage()
      const starts: string[] = []
      page.on('request', (request) => {
        if (request.url().includes('runs.start')) starts.push(request.url())
      })
      await page.goto(program.url)
      await page.getByTestId('composer').fill('Tell me how this works, please')
      await page.getByTestId('send').click()
      await expect.poll(async () => (await answerText(page)).length, { timeout: 20_000 }).toBeGreaterThan(40)
      const before = await answerText(page)

      await page.reload()
      // Still being made: this is the middle, not the end.
      await page.getByTestId('stop').waitFor()
      await expect.poll(async () => (await answerText(page)).length).toBeGreaterThan(before.length)
      // The last word may have been cut.
      const wordsBefore = wordsOf(before).slice(0, -1)
      expect(wordsOf(await answerText(page)).slice(0, wordsBefore.length)).toEqual(wordsBefore)
      expect(await page.getByTestId('metrics').count()).toBe(0)

      await page.getByTestId('metrics').waitFor({ timeout: 60_000 })
      expect(starts).toHaveLength(1)
      const roles = await page
        .getByTestId('message')
        .evaluateAll((all) => all.map((one) => one.getAttribute('data-role')))
      expect(roles).toEqual(['user', 'assistant'])
      const shown = await answerText(page)

      // What is shown is the stored message: a page that loads it afterwards shows the same.
      const sessionId = new URL(page.url()).hash.split('/').at(-1) ?? ''
      await using client = createClient({ url: program.url })
      const { items } = await client.messages.list(sessionId)
      expect(items.map((message) => message.status)).toEqual(['completed', 'completed'])
      const stored = wordsOf(textOf(items[1]?.content ?? []))
      const figures = wordsOf(await page.getByTestId('metrics').innerText())
      expect(wordsOf(shown).slice(0, stored.length + figures.length)).toEqual([...stored, ...figures])
      await page.reload()
      await page.getByTestId('metrics').waitFor()
      expect(await answerText(page)).toBe(shown)
    } finally {
      await browser.close()
      program.stop()
    }
  },
)
