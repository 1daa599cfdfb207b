import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { closeServer, listen } from './listen.ts'
import type { ListeningServer } from './listen.ts'
import { createWebHandler } from './serve-web.ts'

const config = { model: 'demo', isDemo: true, switchCommand: 'do this', needsToken: false }
const script = `export const words = ${JSON.stringify(Array.from({ length: 500 }, (_, at) => `word ${at}`))}`
const html = { accept: 'text/html,application/xhtml+xml' }

describe('the web app', () => {
  let folder: string
  let web: ListeningServer

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'verbatim-web-'))
    await mkdir(join(folder, 'dist/assets'), { recursive: true })
    await writeFile(join(folder, 'secret.txt'), 'secret')
    await writeFile(join(folder, 'dist/index.html'), '<!doctype html><title>Verbatim</title>')
    await writeFile(join(folder, 'dist/assets/main-abc123.js'), 'export {}')
    await writeFile(join(folder, 'dist/assets/main-abc123.css'), 'body {}')
    await writeFile(join(folder, 'dist/assets/large-def456.js'), script)
    await writeFile(join(folder, 'dist/assets/picture-def456.png'), Buffer.alloc(4_096))
    web = await listen(await createWebHandler(join(folder, 'dist'), config), { host: '127.0.0.1', port: 0 })
  })
  afterAll(async () => {
    await closeServer(web.server)
    await rm(folder, { recursive: true })
  })

  test('the page has a policy against foreign scripts, and the browser checks it for changes each time', async () => {
    const response = await fetch(`${web.url}/`)
    expect(await response.text()).toContain('<title>Verbatim</title>')
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(response.headers.get('content-security-policy')).toContain("default-src 'self'")
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    expect(response.headers.get('cache-control')).toBe('no-cache')
  })

  test.each([
    ['/assets/main-abc123.js', 'text/javascript; charset=utf-8'],
    ['/assets/main-abc123.css', 'text/css; charset=utf-8'],
  ])('the browser may keep %s for ever', async (path, type) => {
    const response = await fetch(web.url + path)
    expect(response.headers.get('content-type')).toBe(type)
    expect(response.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
  })

  test('a file that the browser has is not sent again', async () => {
    const first = await fetch(`${web.url}/index.html`)
    const again = await fetch(`${web.url}/index.html`, { headers: { 'if-none-match': first.headers.get('etag')! } })
    expect(again.status).toBe(304)
    expect(await again.text()).toBe('')
  })

  test('HEAD returns the length and no body', async () => {
    const response = await fetch(`${web.url}/assets/main-abc123.js`, { method: 'HEAD' })
    expect(response.headers.get('content-length')).toBe('9')
    expect(await response.text()).toBe('')
  })

  test.each([
    ['gzip, deflate, br, zstd', 'br'],
    ['gzip', 'gzip'],
    ['br;q=0, gzip;q=0.5', 'gzip'],
    ['GZIP', 'gzip'],
    ['identity', null],
    ['br;q=0.000', null],
  ])('to a browser that accepts %j a script is sent as %s, whole', async (accepted, encoding) => {
    const headers = { 'accept-encoding': accepted }
    const response = await fetch(`${web.url}/assets/large-def456.js`, { headers })
    expect(response.headers.get('content-encoding')).toBe(encoding)
    expect(response.headers.get('vary')).toBe('accept-encoding')
    const mostBytes = encoding === null ? script.length : script.length / 2
    expect(Number(response.headers.get('content-length'))).toBeLessThanOrEqual(mostBytes)
    expect(await response.text()).toBe(script)
    // Fetch decodes what it receives, and an entry of a cache is valid for its encoding only.
    const etag = response.headers.get('etag')!
    const again = { ...headers, 'if-none-match': etag }
    expect((await fetch(`${web.url}/assets/large-def456.js`, { headers: again })).status).toBe(304)
    const other = { 'accept-encoding': encoding === 'gzip' ? 'br' : 'gzip', 'if-none-match': etag }
    expect((await fetch(`${web.url}/assets/large-def456.js`, { headers: other })).status).toBe(200)
  })

  test('what is compressed already, or small, is sent as it is', async () => {
    for (const path of ['/assets/picture-def456.png', '/assets/main-abc123.js']) {
      const response = await fetch(web.url + path, { headers: { 'accept-encoding': 'br, gzip' } })
      expect(response.headers.get('content-encoding')).toBeNull()
    }
  })

  test('each route of the app returns the same page', async () => {
    const response = await fetch(`${web.url}/sessions/abc?tab=1`, { headers: html })
    expect(response.status).toBe(200)
    expect(await response.text()).toContain('<title>Verbatim</title>')
  })

  test('a missing script is 404 and not the page', async () => {
    expect((await fetch(`${web.url}/assets/gone.js`, { headers: html })).status).toBe(404)
    expect((await fetch(`${web.url}/sessions/abc`)).status).toBe(404)
  })

  test('/config.json says which model answers', async () => {
    const response = await fetch(`${web.url}/config.json`)
    expect(response.headers.get('content-type')).toContain('application/json')
    expect(await response.json()).toEqual(config)
  })

  test('other methods than GET and HEAD are 405', async () => {
    const response = await fetch(`${web.url}/`, { method: 'POST', body: 'x' })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  })

  test.each([
    '/../secret.txt',
    '/assets/../../secret.txt',
    '/..%2fsecret.txt',
    '/%2e%2e/secret.txt',
    '/%2e%2e%2fsecret.txt',
    '/assets/..\\..\\secret.txt',
    '/..%5csecret.txt',
    '//secret.txt',
    '/%00../secret.txt',
    '/%c0%ae%c0%ae/secret.txt',
    '/%',
  ])('the path %s does not lead out of the folder', async (path) => {
    // Raw: fetch would normalize the path.
    const { status, body } = await rawGet(web.url, path)
    expect(status).toBe(404)
    expect(body).not.toContain('secret')
  })
})

test('without a build the page says that the web app is not built', async () => {
  const missing = join(tmpdir(), 'verbatim-no-such-folder')
  const web = await listen(await createWebHandler(missing, config), { host: '127.0.0.1', port: 0 })
  const response = await fetch(`${web.url}/`, { headers: html })
  expect([response.status, await response.text()]).toEqual([404, expect.stringContaining('not built')])
  expect((await fetch(`${web.url}/config.json`)).status).toBe(200)
  await closeServer(web.server)
})

test('a taken port is an error in one sentence', async () => {
  const { server, url } = await listen(() => {}, { host: '127.0.0.1', port: 0 })
  const port = Number(new URL(url).port)
  await expect(listen(() => {}, { host: '127.0.0.1', port })).rejects.toThrow(`PORT ${port} on 127.0.0.1 is in use`)
  await closeServer(server)
})

async function rawGet(url: string, path: string): Promise<{ status: number | undefined; body: string }> {
  return await new Promise((resolve, reject) => {
    const sent = request(url, { path }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => (body += text))
      response.on('end', () => resolve({ status: response.statusCode, body }))
    })
    sent.on('error', reject).end()
  })
}
