/**
 * Serves the web app's files. It reads the folder of the build once, at start, and a request can only name a file that was
 * read, so no path leads out of the folder. A page's path that is no file is a route of the app and gets `index.html`.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import type { IncomingMessage, OutgoingHttpHeaders, RequestListener, ServerResponse } from 'node:http'
import { extname, join, relative, sep } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'

const mimeTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.webp': 'image/webp',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.webmanifest': 'application/manifest+json',
}

/** An answer may hold any Markdown. These headers keep scripts, frames and images of other origins out of the page. */
const securityHeaders = {
  'content-security-policy':
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const

interface WebFile {
  readonly body: Buffer
  readonly headers: OutgoingHttpHeaders & { readonly etag: string }
  /** The same file, smaller, for browsers that read the encoding; the best first. */
  readonly encodings: readonly { readonly name: 'br' | 'gzip'; readonly body: Buffer }[]
}

/** What the web app reads at `/config.json`. */
export interface WebConfig {
  readonly model: string
  readonly isDemo: boolean
  /** The command that switches to Claude; null when Claude answers already. */
  readonly switchCommand: string | null
  /** True when a caller needs a token, so that the page asks for one. */
  readonly needsToken: boolean
}

/** Serves the files of `folder` (none when it is not there), `/config.json`, and 404 for what is neither file nor page. */
export async function createWebHandler(folder: string, config: WebConfig): Promise<RequestListener> {
  const files = await readFiles(folder)
  files.set('/config.json', await toFile('/config.json', Buffer.from(JSON.stringify(config))))
  const index = files.get('/index.html')
  return (request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return sendText(response, {
        status: 405,
        text: 'Only GET and HEAD are served here',
        headers: { allow: 'GET, HEAD' },
      })
    }
    const path = pathOf(request)
    const file = files.get(path) ?? (isPage(request, path) ? index : undefined)
    if (file !== undefined) return sendFile(request, response, file)
    const isUnbuilt = index === undefined && isPage(request, path)
    const text = isUnbuilt ? 'The web app is not built; run `pnpm build`, then start again' : 'There is nothing here'
    return sendText(response, { status: 404, text })
  }
}

async function readFiles(folder: string): Promise<Map<string, WebFile>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [] // run from source: no build, so the API only
    throw error
  })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const loaded = files.map(async (file): Promise<[string, WebFile]> => {
    const path = `/${relative(folder, file).split(sep).join('/')}`
    return [path, await toFile(path, await readFile(file))]
  })
  return new Map(await Promise.all(loaded))
}

async function toFile(path: string, body: Buffer): Promise<WebFile> {
  const type = mimeTypes[extname(path)] ?? 'application/octet-stream'
  const headers = {
    'content-type': type,
    // The build puts a hash of the content into the names under assets/: such a file never changes.
    'cache-control': path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
    etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`,
    ...securityHeaders,
  }
  return { body, headers, encodings: isText(type) ? await encodingsOf(body) : [] }
}

/** Pictures and fonts are compressed already. */
function isText(type: string): boolean {
  return /charset|svg|manifest/.test(type)
}

/** A few hundred bytes fit into one packet as they are. */
const minCompressedBytes = 1_024

const brotli = promisify(brotliCompress)

/** Made once, at start: a request costs no processor time for it. */
async function encodingsOf(body: Buffer): Promise<WebFile['encodings']> {
  if (body.length < minCompressedBytes) return []
  const [br, gz] = await Promise.all([
    // The best quality is ten times as slow as this one, for a few percent.
    brotli(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_SIZE_HINT]: body.length } }),
    promisify(gzip)(body, { level: 9 }),
  ])
  return [
    { name: 'br', body: br },
    { name: 'gzip', body: gz },
  ]
}

/** The path as a file's name. It never reaches the file system. */
function pathOf({ url = '/' }: IncomingMessage): string {
  const [path = '/'] = url.split('?')
  if (path === '/') return '/index.html'
  try {
    return decodeURIComponent(path)
  } catch {
    return path // malformed escapes name no file
  }
}

/** True for a browser's navigation, false for a missing script or style. */
function isPage({ headers }: IncomingMessage, path: string): boolean {
  return extname(path) === '' || path.endsWith('.html') ? (headers.accept ?? '').includes('text/html') : false
}

function sendFile(request: IncomingMessage, response: ServerResponse, file: WebFile): void {
  const encoding = file.encodings.find(({ name }) => accepts(request, name))
  const { body } = encoding ?? file
  // Other bytes need another tag.
  const etag = encoding === undefined ? file.headers.etag : file.headers.etag.replace(/"$/, `-${encoding.name}"`)
  const headers: OutgoingHttpHeaders = { ...file.headers, etag }
  if (file.encodings.length > 0) headers['vary'] = 'accept-encoding'
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304, headers).end()
    return
  }
  if (encoding !== undefined) headers['content-encoding'] = encoding.name
  response.writeHead(200, { ...headers, 'content-length': body.length })
  response.end(request.method === 'HEAD' ? undefined : body)
}

/** Tells whether the browser names the encoding; one with `q=0` is refused by name. */
function accepts({ headers }: IncomingMessage, encoding: string): boolean {
  const accepted = String(headers['accept-encoding'] ?? '')
    .toLowerCase()
    .split(',')
  return accepted.some((entry) => {
    const [name = '', ...parameters] = entry.split(';').map((part) => part.trim())
    return name === encoding && !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter))
  })
}

function sendText(
  response: ServerResponse,
  { status, text, headers }: { status: number; text: string; headers?: OutgoingHttpHeaders },
): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...securityHeaders, ...headers }).end(text)
}
