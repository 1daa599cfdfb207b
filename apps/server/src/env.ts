/**
 * Reads every setting of the server from the environment, once. In: `process.env`. Out: {@link Environment}, or one sentence
 * that names the wrong variable. `--help` prints the same schema.
 */
import { VerbatimError } from '@verbatim/core'
import { z } from 'zod'
import { isLoopback } from './guard-local.ts'

const Port = wholeNumber(0, 65_535)
const Host = z.string().regex(/^[\w.:-]+$/, 'must be an address or a host name, such as 127.0.0.1')
const MongoUri = z.string().regex(/^mongodb(?:\+srv)?:\/\/./, 'must begin with mongodb:// or mongodb+srv://')
const HttpUrl = z.url({ protocol: /^https?$/, error: 'must be a URL that begins with http:// or https://' })
const DatabaseName = z.string().regex(/^[\w-]{1,63}$/, 'must be 1 to 63 letters, digits, _ or -')
const HostAndPort = z
  .string()
  .regex(/^(?:[\w.-]+|\[[\da-fA-F:.]+\]):\d{1,5}$/, 'must be host:port, such as 10.0.0.4:8788')
const LogLevel = z.enum(['silent', 'fatal', 'error', 'warn', 'info', 'debug'], {
  error: 'must be silent, fatal, error, warn, info or debug',
})

const minTokenLength = 16
const tokenPattern = /^([\w.~+/-]+=*)=([^=,\s]{1,256})$/

/** `token=userId` pairs, separated by commas; becomes a map from token to user id. A token may end in `=`, a user id holds none. */
const Tokens = z.string().transform((text, context): ReadonlyMap<string, string> => {
  const pairs = text.split(',').map((pair) => tokenPattern.exec(pair.trim()))
  const byToken = new Map(pairs.map((pair) => [pair?.[1] ?? '', pair?.[2] ?? '']))
  const isSound = byToken.size === pairs.length && [...byToken.keys()].every((token) => token.length >= minTokenLength)
  if (isSound) return byToken
  // The value is secret, so the error does not quote it.
  const message = `must be token=userId pairs separated by commas, each token once and of at least ${minTokenLength} characters`
  context.addIssue({ code: 'custom', message })
  return z.NEVER
})

/** Exact origins, separated by commas, as a browser sends them: no path, no slash at the end. */
const Origins = z.string().transform((text, context): readonly string[] => {
  const origins = text.split(',').map((origin) => origin.trim())
  if (origins.every(isOrigin)) return origins
  const message = 'must be origins separated by commas, such as https://app.example.com,http://localhost:3000'
  context.addIssue({ code: 'custom', message })
  return z.NEVER
})

function isOrigin(text: string): boolean {
  return /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text
}

/** An object as JSON; the engine checks what is in it. */
const JsonObject = z.string().transform((text, context): Record<string, unknown> => {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text))
  } catch {
    context.addIssue({ code: 'custom', message: 'must be a JSON object' })
    return z.NEVER
  }
})

export const Environment = z
  .object({
    PORT: Port.default(8787).describe('Port to listen on; 0 takes any free one'),
    HOST: Host.default('127.0.0.1').describe('Address to listen on; any but a loopback one needs VERBATIM_TOKENS'),
    MONGODB_URI: MongoUri.optional().describe('A replica set to use; without it a MongoDB is started here'),
    VERBATIM_DATABASE: DatabaseName.default('verbatim').describe('Name of the database'),
    VERBATIM_DATA_DIR: z.string().default('.verbatim').describe('Where the MongoDB started here keeps its data'),
    ANTHROPIC_API_KEY: z.string().optional().describe('Key for Claude; without it a demo model answers'),
    ANTHROPIC_BASE_URL: HttpUrl.optional().describe("Another server of Anthropic's protocol, such as Ollama"),
    VERBATIM_MODEL: z.string().default('claude-sonnet-5-5').describe('The model that answers'),
    VERBATIM_TOKENS: Tokens.optional().describe('Who may call: token=userId,token=userId; without it you, locally'),
    VERBATIM_ORIGINS: Origins.optional().describe('Web pages that may call besides its own: origin,origin'),
    VERBATIM_METRICS_TOKEN: z
      .string()
      .min(minTokenLength, `must have at least ${minTokenLength} characters`)
      .optional()
      .describe('Bearer token that may read /metrics where VERBATIM_TOKENS are set'),
    VERBATIM_DRAIN_MS: wholeNumber(0, 3_600_000)
      .default(10_000)
      .describe('How long answers may still run after SIGTERM, in milliseconds'),
    VERBATIM_KEY_FILE: z
      .string()
      .optional()
      .describe('File of the master key (see docs/encryption.md); encrypts content at rest'),
    VERBATIM_KEY_DIR: z
      .string()
      .optional()
      .describe("Folder of the users' keys; keep it out of backups of the database"),
    VERBATIM_ENCRYPTION: z
      .enum(['on', 'off'], { error: 'must be on or off' })
      .optional()
      .describe('on or off; with off, the keys only read what is encrypted'),
    VERBATIM_LIMITS: JsonObject.optional().describe(
      'Limits of callers as JSON, such as {"principal":{"activeRuns":5}}',
    ),
    VERBATIM_BUDGETS: JsonObject.optional().describe('Budgets of a day as JSON, such as {"tenant":{"usdPerDay":50}}'),
    VERBATIM_CHANGE_STREAMS: z
      .enum(['auto', 'off'], { error: 'must be auto or off' })
      .default('auto')
      .describe('auto or off; without change streams followers poll'),
    VERBATIM_PEER_SECRET: z
      .string()
      .min(32, 'must have at least 32 characters')
      .optional()
      .describe('Secret of the fleet, with which servers give each other hints'),
    VERBATIM_PEER_ADDRESS: HostAndPort.optional().describe('host:port that other servers reach this one at'),
    VERBATIM_PEER_LISTEN: HostAndPort.optional().describe('host:port to listen at for them, where it is another one'),
    LOG_LEVEL: LogLevel.default('warn').describe('Least level of the JSON log on stderr (silent to debug)'),
    MONGOMS_SYSTEM_BINARY: z.string().optional().describe('Path of a mongod to start instead of one found or fetched'),
  })
  .refine((env) => env.VERBATIM_TOKENS !== undefined || isLoopback(env.HOST), {
    path: ['HOST'],
    error: 'lets other machines in, but no token says who may call; set VERBATIM_TOKENS, or HOST to 127.0.0.1',
  })
  .refine((env) => (env.VERBATIM_KEY_FILE === undefined) === (env.VERBATIM_KEY_DIR === undefined), {
    path: ['VERBATIM_KEY_FILE'],
    error: 'and VERBATIM_KEY_DIR belong together; set both, or none',
  })
  .refine((env) => env.VERBATIM_PEER_SECRET !== undefined || !(env.VERBATIM_PEER_ADDRESS ?? env.VERBATIM_PEER_LISTEN), {
    path: ['VERBATIM_PEER_SECRET'],
    error: 'is missing; VERBATIM_PEER_ADDRESS and VERBATIM_PEER_LISTEN need it',
  })
export type Environment = z.infer<typeof Environment>

/** A process environment: names to values. */
export type ProcessEnvironment = Readonly<Record<string, string | undefined>>

/** The unchanged environment, for starting other programs. */
export const processEnvironment: ProcessEnvironment = process.env

/**
 * The settings. An empty variable counts as not set.
 *
 * @throws VerbatimError `INVALID_CONFIGURATION`: one sentence that names the variable
 */
export function readEnvironment(source: ProcessEnvironment = processEnvironment): Environment {
  const given = Object.fromEntries(Object.entries(source).filter(([, value]) => (value ?? '').trim() !== ''))
  const parsed = Environment.safeParse(given)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new VerbatimError('INVALID_CONFIGURATION', `${issue?.path.join('.') ?? ''} ${issue?.message ?? 'is wrong'}`)
}

/** What `--help` prints. */
export function describeEnvironment(): string {
  const { properties = {} } = z.toJSONSchema(Environment, { io: 'input' })
  const width = Math.max(...Object.keys(properties).map((name) => name.length))
  const lines = Object.entries(properties).map(([name, property]) => {
    const { description = '', default: byDefault } = typeof property === 'object' ? property : {}
    const suffix = typeof byDefault === 'string' || typeof byDefault === 'number' ? ` [${byDefault}]` : ''
    return `  ${name.padEnd(width)}  ${description}${suffix}`
  })
  return [
    'Verbatim streams answers of AI agents token by token and keeps them on MongoDB.',
    '',
    'Usage: node apps/server/dist/main.js [--help]   (npm start installs, builds and runs it)',
    '',
    'Settings are environment variables [with their defaults]:',
    ...lines,
    '',
  ].join('\n')
}

function wholeNumber(from: number, to: number) {
  const error = `must be a whole number from ${from} to ${to}`
  return z.coerce.number({ error }).refine((value) => Number.isInteger(value) && value >= from && value <= to, error)
}
