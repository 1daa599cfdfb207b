/** The chat page in a real browser, as `npm start` serves it, over the tests' MongoDB. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, existsSync } from 'node:fs'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createApi } from '@verbatim/api'
import type { Agent } from '@verbatim/core/server'
import { openTestDatabase } from '@verbatim/core/testing'
import { listen } from '@verbatim/test-kit/http'
import { startServerProgram } from '@verbatim/test-kit/process'
import { chromium } from 'playwright-core'
import type { Page } from 'playwright-core'
import { inject } from 'vitest'
import { ensureChromium } from './chromium.ts'
import { openDatabase, openEngine } from './engine.ts'
import { env } from './env.ts'

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

/** A page that nothing has opened yet, and the server that serves it. */
export interface BrowserPage extends AsyncDisposable {
  readonly page: Page
  readonly url: string
}

/**
 * @param modelUrl the provider of the server's agent
 * @param serverEnv further settings of the server
 */
export async function openBrowserPage(
  modelUrl: string,
  serverEnv: Readonly<Record<string, string>> = {},
): Promise<BrowserPage> {
  await buildPage()
  await using started = new AsyncDisposableStack()
  const database = started.use(await openTestDatabase(inject('mongoUri')))
  const settings = { PORT: '0', MONGODB_URI: inject('mongoUri'), VERBATIM_DATABASE: database.databaseName }
  const program = started.use(
    await startServerProgram(new URL('../../apps/server/src/main.ts', import.meta.url), {
      env: { PATH: env['PATH'], ...settings, ANTHROPIC_BASE_URL: modelUrl, ...serverEnv },
    }),
  )
  const page = await openBlankPage(started)
  const opened = started.move()
  return { page, url: program.url, [Symbol.asyncDispose]: async () => await opened.disposeAsync() }
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
}

/** The page over an engine of the test's own agents, in this process. Callers are `ada`. */
export async function openBrowserPageOf(agents: readonly Agent[]): Promise<BrowserPage> {
  await buildPage()
  await using started = new AsyncDisposableStack()
  const database = started.use(await openDatabase())
  const engine = started.use(openEngine(database, { agents }))
  const api = createApi({ engine, authenticate: () => ({ userId: 'ada' }) })
  started.defer(async () => await api.close())
  const config = { model: 'a model', isDemo: false, switchCommand: null, needsToken: false }
  const files = new Map([['/config.json', JSON.stringify(config)]])
  const server = started.use(
    await listen((request, response) => {
      const { pathname } = new URL(request.url ?? '', 'http://page')
      if (/^\/(?:trpc|attachments)\b/.test(pathname)) return api.nodeHandler(request, response)
      const name = pathname === '/' ? '/index.html' : pathname
      response.setHeader('content-type', types[extname(name)] ?? 'application/json')
      const body = files.get(name)
      if (body !== undefined) return void response.end(body)
      createReadStream(`${root}apps/web/dist${name}`)
        .on('error', () => response.writeHead(404).end())
        .pipe(response)
    }),
  )
  const page = await openBlankPage(started)
  const opened = started.move()
  return { page, url: server.url, [Symbol.asyncDispose]: async () => await opened.disposeAsync() }
}

async function openBlankPage(stack: AsyncDisposableStack): Promise<Page> {
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
  stack.defer(async () => await browser.close())
  return await browser.newPage()
}
