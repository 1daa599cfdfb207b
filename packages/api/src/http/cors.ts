import type { ApiRequest } from '../context.ts'

/** Web pages of other origins that may call; none when left out. */
export interface CorsOptions {
  /** Exact origins, such as `https://app.example.com`. */
  readonly origins: readonly string[]
  /** Lets pages send cookies. @default false */
  readonly credentials: boolean
  /** Headers of further endpoints that the pages may read. */
  readonly exposedHeaders?: readonly string[] | undefined
}

/** For browsers that do not name the headers they ask for. */
const usualHeaders = 'authorization, content-type, idempotency-key, last-event-id, range, trpc-accept, x-file-name'
const exposedHeaders = 'x-run-id, retry-after, content-disposition, content-range, etag'
const preflightSeconds = '600'

/**
 * Tells whether a page of another origin makes the request and may not. A browser says so in `Sec-Fetch-Site`, which no page can set,
 * and also for what sends no `Origin`: an image, an `<object>`, a prefetch, a link. The answer's status alone would tell such a page
 * what exists. `same-site` counts as foreign: another port of this host is one. `none` is a person's own: an address or a bookmark.
 * Programs send no such header.
 */
export function isForeignPage(cors: CorsOptions | undefined, { headers }: ApiRequest): boolean {
  const site = headers.get('sec-fetch-site')
  if (site === null || site === 'same-origin' || site === 'none') return false
  const origin = headers.get('origin')
  return origin === null || cors?.origins.includes(origin) !== true
}

/**
 * Tells whether a body needs no preflight to be trusted: its sender is no page, or the browser says where the page is from. A page of
 * another origin can send plain text, and an old browser then names the page in `Origin` alone.
 */
export function isVouchedFor(cors: CorsOptions | undefined, { headers }: ApiRequest): boolean {
  const origin = headers.get('origin')
  return headers.has('sec-fetch-site') || origin === null || cors?.origins.includes(origin) === true
}

/** The headers that let the calling page read the response. A page that is not listed gets none of them. */
export function corsHeaders(cors: CorsOptions | undefined, { headers }: ApiRequest): Record<string, string> {
  if (cors === undefined) return {}
  const origin = headers.get('origin')
  if (origin === null || !cors.origins.includes(origin)) return { vary: 'origin' }
  return {
    vary: 'origin',
    'access-control-allow-origin': origin,
    'access-control-expose-headers': [exposedHeaders, ...(cors.exposedHeaders ?? [])].join(', '),
    ...(cors.credentials ? { 'access-control-allow-credentials': 'true' } : {}),
  }
}

/** The headers of the response to a preflight; undefined when the request is no preflight, or CORS is off. */
export function preflightHeaders(
  cors: CorsOptions | undefined,
  request: ApiRequest,
): Readonly<Record<string, string>> | undefined {
  if (cors === undefined || request.method !== 'OPTIONS') return undefined
  const shared = corsHeaders(cors, request)
  if (shared['access-control-allow-origin'] === undefined) return shared
  return {
    ...shared,
    vary: 'origin, access-control-request-headers',
    'access-control-allow-methods': 'GET, POST',
    // A listed page may send any header, such as a trace's or a gateway's. The value is only ever sent back to the same browser.
    'access-control-allow-headers': askedHeaders(request) ?? usualHeaders,
    'access-control-max-age': preflightSeconds,
  }
}

/** Header names that are well-formed, and not too many: a response must not repeat what is no list of names. */
function askedHeaders({ headers }: ApiRequest): string | undefined {
  const asked = headers.get('access-control-request-headers')
  return asked !== null && asked.length <= 1_000 && /^[\w!#$%&'*+.^`|~-]+(?: *, *[\w!#$%&'*+.^`|~-]+)*$/.test(asked)
    ? asked
    : undefined
}
