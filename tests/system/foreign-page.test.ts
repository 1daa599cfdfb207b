/** A page of another origin, in a real browser, cannot tell whether a session exists: each way to load a URL ends alike. */
import { createApi } from '@verbatim/api'
import { scriptedAgent } from '@verbatim/core/testing'
import { query, serve } from '@verbatim/test-kit/http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { chromium } from 'playwright-core'
import { expect, it } from 'vitest'
import { ensureChromium } from '../support/chromium.ts'
import { openDatabase, openEngine } from '../support/engine.ts'

/** What a page sees when it loads `url` in each way that needs no permission. */
async function look(url: string): Promise<Record<string, string>> {
  const load = (tag: string, set: Record<string, string>) =>
    new Promise<string>((resolve) => {
      const element = document.createElement(tag)
      element.onload = () => resolve('load')
      element.onerror = () => resolve('error')
      for (const [name, value] of Object.entries(set)) element.setAttribute(name, value)
      document.body.append(element)
      setTimeout(() => resolve('nothing'), 3_000)
    })
  const [object, embed, frame, image, script, style, prefetch, opaque, sent] = await Promise.all([
    load('object', { data: url }),
    load('embed', { src: url }),
    load('iframe', { src: url }),
    load('img', { src: url }),
    load('script', { src: url }),
    load('link', { rel: 'stylesheet', href: url }),
    load('link', { rel: 'prefetch', href: url }),
    fetch(url, { mode: 'no-cors' }).then(
      ({ type, status }) => `${type} ${status}`,
      () => 'error',
    ),
    fetch(url).then(
      ({ status }) => `${status}`,
      () => 'error',
    ),
  ])
  const timings = performance.getEntriesByName(url) as PerformanceResourceTiming[]
  const seen = timings.map(({ responseStatus, encodedBodySize }) => `${responseStatus} ${encodedBodySize}`).toSorted()
  const timing = [...new Set(seen)].join()
  return { object, embed, frame, image, script, style, prefetch, opaque, sent, timing } as Record<string, string>
}

it(
  'a page of another origin cannot tell a session that exists from one that does not',
  { timeout: 180_000 },
  async () => {
    await using started = new AsyncDisposableStack()
    const database = started.use(await openDatabase())
    const engine = openEngine(database, { agents: [scriptedAgent(async function* () {})] })
    started.defer(async () => await engine.close())
    // As `npm start` has it without tokens: every request is the local user's.
    const api = createApi({ engine, authenticate: () => ({ userId: 'local' }) })
    const site = started.use(await serve(api))
    await site.fetch('/trpc/sessions.create', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ sessionId: 'there' }),
    })
    const pages = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>page</title><body></body>')
    })
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve))
    started.defer(async () => {
      pages.closeAllConnections()
      await new Promise((resolve) => pages.close(resolve))
    })
    const { port } = pages.address() as AddressInfo
    const browser = await chromium.launch({
      executablePath: await ensureChromium(),
      args: ['--no-sandbox', '--disable-gpu'],
    })
    started.defer(async () => await browser.close())
    const urlOf = (sessionId: string) => site.url + query('sessions.get', { sessionId })
    // Another site, and another port of the same host, which browsers call the same site.
    for (const host of ['localhost', '127.0.0.1']) {
      const page = await browser.newPage()
      await page.goto(`http://${host}:${port}/`)
      const there = await page.evaluate(look, urlOf('there'))
      const missing = await page.evaluate(look, urlOf('elsewhere'))
      expect(there).toEqual(missing)
      expect(there).toMatchObject({ sent: 'error' })
      await page.close()
    }
  },
)
