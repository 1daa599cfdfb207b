/**
 * `npm start`, `npm test`, `npm run bench`, `npm run hostile`, `npm run example` and `npm run torture` run this file: it fetches Node 24 and pnpm,
 * installs, builds and runs. It is plain JavaScript without a package, since it runs on any Node and before the installation. All steps
 * before the last one are silent unless they fail.
 */
import { execSync, spawn, spawnSync } from 'node:child_process'

const tools = 'npx -y -p node@24.21.0 -p pnpm@10.34.9 -c "node -p process.env.PATH"'

const preparation = [
  [
    'Installing packages',
    ['pnpm', 'install', '--frozen-lockfile', '--prefer-offline', '--config.confirmModulesPurge=false'],
  ],
  ['Building', ['pnpm', 'exec', 'turbo', 'run', 'build', '--output-logs=errors-only', '--log-order=grouped']],
]

const programs = {
  // V8 lets the young generation grow threefold at the first load, which costs more than a thousand idle followers.
  start: ['node', '--min-semi-space-size=16', '--max-semi-space-size=16', 'apps/server/dist/main.js'],
  test: ['pnpm', 'exec', 'vitest', 'run'],
  pack: ['node', 'tooling/pack.ts'],
  torture: ['node', '--conditions=verbatim-source', 'torture/src/main.ts'],
  mutants: ['node', '--conditions=verbatim-source', 'torture/mutants/main.ts'],
  bench: ['pnpm', '--silent', '--filter', '@verbatim/tests', 'run', 'bench'],
  example: ['node', '--conditions=verbatim-source', 'examples/run.ts'],
  hostile: ['pnpm', '--silent', '--filter', '@verbatim/tests', 'run', 'hostile'],
}

// pnpm is a .cmd file on Windows, which only a shell can run.
const shell = process.platform === 'win32'

function say(text) {
  if ((process.env['CI'] ?? '') === '') console.error(text)
}

/** The PATH inside npx. A program inside npx would get no signals, since shells stand in between. */
function toolsPath() {
  say('Fetching Node 24 and pnpm …')
  try {
    return execSync(tools, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()
  } catch (error) {
    console.error(`Node 24 and pnpm could not be fetched (${tools})\n${error.stdout}${error.stderr}`)
    process.exit(1)
  }
}

function prepare(title, [program, ...args], env) {
  say(`${title} …`)
  const options = { env, shell, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 256 * 1024 * 1024 }
  const result = spawnSync(program, args, options)
  if (result.status === 0) return
  console.error(`${title} failed (${[program, ...args].join(' ')})\n${result.stdout}${result.stderr}`)
  process.exit(1)
}

/** Passes signals on and waits: the program drains and then ends by itself. */
function run([program, ...args], env) {
  const child = spawn(program, args, { env, shell, stdio: 'inherit' })
  // In a terminal Ctrl-C also reaches the child.
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'))
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  // npm passes SIGTERM to its shell, which dies without passing it on.
  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(watch)
    child.kill('SIGTERM')
  }, 500)
  child.on('exit', (code, signal) => {
    clearInterval(watch)
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1)
  })
}

const [name = '', ...rest] = process.argv.slice(2)
const program = programs[name]
if (program === undefined) throw new Error(`Expected one of ${Object.keys(programs).join(', ')}, not "${name}"`)
const env = { ...process.env, PATH: toolsPath(), TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' }
for (const [title, step] of preparation) prepare(title, step, env)
run([...program, ...rest], env)
