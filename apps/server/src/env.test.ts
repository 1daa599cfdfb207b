import { describe, expect, test } from 'vitest'
import { describeEnvironment, Environment, readEnvironment } from './env.ts'

const token = 'a-token-of-some-length'

describe('the environment', () => {
  test('the environment has a default for everything that a newcomer does not set', () => {
    expect(readEnvironment({})).toEqual({
      PORT: 8787,
      HOST: '127.0.0.1',
      VERBATIM_CHANGE_STREAMS: 'auto',
      VERBATIM_DATABASE: 'verbatim',
      VERBATIM_DATA_DIR: '.verbatim',
      VERBATIM_MODEL: 'claude-sonnet-5-5',
      VERBATIM_DRAIN_MS: 10_000,
      LOG_LEVEL: 'warn',
    })
  })

  test('an empty variable counts as not set', () => {
    expect(readEnvironment({ PORT: '', MONGODB_URI: ' ' })).toEqual(readEnvironment({}))
  })

  test.each([
    [{ PORT: '9000' }, { PORT: 9000 }],
    [{ PORT: '0' }, { PORT: 0 }],
    [{ HOST: '::1' }, { HOST: '::1' }],
    [{ HOST: 'localhost' }, { HOST: 'localhost' }],
    [{ MONGODB_URI: 'mongodb+srv://u:p@host/?w=1' }, { MONGODB_URI: 'mongodb+srv://u:p@host/?w=1' }],
    [{ ANTHROPIC_BASE_URL: 'http://127.0.0.1:11434' }, { ANTHROPIC_BASE_URL: 'http://127.0.0.1:11434' }],
    [
      { VERBATIM_PEER_SECRET: 's'.repeat(32), VERBATIM_PEER_ADDRESS: '[fd00::4]:8788' },
      { VERBATIM_PEER_SECRET: 's'.repeat(32), VERBATIM_PEER_ADDRESS: '[fd00::4]:8788' },
    ],
    [{ VERBATIM_LIMITS: '{"principal":{"activeRuns":5}}' }, { VERBATIM_LIMITS: { principal: { activeRuns: 5 } } }],
    [{ VERBATIM_BUDGETS: '{"tenant":{"usdPerDay":50}}' }, { VERBATIM_BUDGETS: { tenant: { usdPerDay: 50 } } }],
    [
      { VERBATIM_ORIGINS: 'https://app.example.com, http://localhost:3000' },
      { VERBATIM_ORIGINS: ['https://app.example.com', 'http://localhost:3000'] },
    ],
    [{ VERBATIM_TOKENS: `${token}=ada` }, { VERBATIM_TOKENS: new Map([[token, 'ada']]) }],
    [
      { VERBATIM_TOKENS: `${token}===ada, ${token}2=bob@example.org`, HOST: '0.0.0.0' },
      {
        VERBATIM_TOKENS: new Map([
          [`${token}==`, 'ada'],
          [`${token}2`, 'bob@example.org'],
        ]),
      },
    ],
  ])('the environment accepts %j', (given, expected) => {
    expect(readEnvironment(given)).toMatchObject(expected)
  })

  test.each([
    [{ PORT: 'http' }, 'PORT must be a whole number from 0 to 65535'],
    [{ PORT: '65536' }, 'PORT must be a whole number from 0 to 65535'],
    [{ PORT: '80.5' }, 'PORT must be a whole number from 0 to 65535'],
    [{ VERBATIM_PEER_SECRET: 'short' }, 'VERBATIM_PEER_SECRET must have at least 32 characters'],
    [
      { VERBATIM_PEER_ADDRESS: '10.0.0.4:8788' },
      'VERBATIM_PEER_SECRET is missing; VERBATIM_PEER_ADDRESS and VERBATIM_PEER_LISTEN need it',
    ],
    [
      { VERBATIM_PEER_SECRET: 's'.repeat(32), VERBATIM_PEER_LISTEN: '8788' },
      'VERBATIM_PEER_LISTEN must be host:port, such as 10.0.0.4:8788',
    ],
    [{ HOST: 'http://localhost' }, 'HOST must be an address or a host name, such as 127.0.0.1'],
    [
      { HOST: '0.0.0.0' },
      'HOST lets other machines in, but no token says who may call; set VERBATIM_TOKENS, or HOST to 127.0.0.1',
    ],
    [
      { HOST: '127.0.0.1.example.org' },
      'HOST lets other machines in, but no token says who may call; set VERBATIM_TOKENS, or HOST to 127.0.0.1',
    ],
    [{ VERBATIM_LIMITS: '{"principal"' }, 'VERBATIM_LIMITS must be a JSON object'],
    [{ VERBATIM_BUDGETS: '[]' }, 'VERBATIM_BUDGETS must be a JSON object'],
    [{ MONGODB_URI: 'localhost:27017' }, 'MONGODB_URI must begin with mongodb:// or mongodb+srv://'],
    [
      { ANTHROPIC_BASE_URL: 'localhost:11434' },
      'ANTHROPIC_BASE_URL must be a URL that begins with http:// or https://',
    ],
    [{ VERBATIM_DATABASE: 'a.b' }, 'VERBATIM_DATABASE must be 1 to 63 letters, digits, _ or -'],
    [{ VERBATIM_DRAIN_MS: '-1' }, 'VERBATIM_DRAIN_MS must be a whole number from 0 to 3600000'],
    [{ VERBATIM_KEY_FILE: 'key' }, 'VERBATIM_KEY_FILE and VERBATIM_KEY_DIR belong together; set both, or none'],
    [{ VERBATIM_KEY_DIR: 'keys' }, 'VERBATIM_KEY_FILE and VERBATIM_KEY_DIR belong together; set both, or none'],
    [{ VERBATIM_ENCRYPTION: 'yes' }, 'VERBATIM_ENCRYPTION must be on or off'],
    [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL must be silent, fatal, error, warn, info or debug'],
  ])('the environment refuses %j in one sentence', (given, sentence) => {
    expect(() => readEnvironment(given)).toThrow(sentence)
  })

  test.each(['*', 'null', 'app.example.com', 'https://app.example.com/', 'https://a.example,', 'ftp://a.example'])(
    'the environment refuses the origins %j',
    (VERBATIM_ORIGINS) => {
      expect(() => readEnvironment({ VERBATIM_ORIGINS })).toThrow(
        'VERBATIM_ORIGINS must be origins separated by commas',
      )
    },
  )

  test.each([
    'ada',
    `${token}`,
    `=ada`,
    `${token}=`,
    'short=ada',
    `${token}=ada,${token}=bob`,
    `${token}=ada,`,
    `a b ${token}=ada`,
  ])('the environment refuses the tokens %j and does not quote them', (VERBATIM_TOKENS) => {
    const sentence =
      'VERBATIM_TOKENS must be token=userId pairs separated by commas, each token once and of at least 16 characters'
    expect(() => readEnvironment({ VERBATIM_TOKENS })).toThrow(new RegExp(`^${sentence}$`))
  })
})

test('the help lists every setting with its default and its meaning', () => {
  const help = describeEnvironment()
  for (const name of Object.keys(Environment.shape)) expect(help).toMatch(new RegExp(`^  ${name} +\\S.+`, 'm'))
  expect(help).toContain('[8787]')
  expect(help).toContain('[10000]')
  expect(Math.max(...help.split('\n').map((line) => line.length))).toBeLessThanOrEqual(110)
})
