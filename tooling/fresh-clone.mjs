/**
 * What `npm start` and `npm test` do inside Node 24 and pnpm: install, build, run. It needs no package, since it runs
 * before there is one. The steps before the last are silent unless they fail.
 */
import { spawn, spawnSync } from 'node:child_process'

type Command = readonly [program: string, ...args: string[]]

const preparation: readonly (readonly [title: string, command: Command])[] = [
  [
    'Installing packages',
    ['pnpm', 'install', '--frozen-lockfile', '--prefer-offline', '--config.confirmModulesPurge=false'],
  ],
  ['Building', ['pnpm', 'exec', 'turbo', 'run', 'build', '--output-logs=errors-only', '--log-order=grouped']],
]

const last: Readonly<Record<string, Command>> = {
  start: ['node', 'apps/server/dist/main.js'],
  test: ['pnpm', 'exec', 'vitest', 'run'],
}

const env = { ...process.env, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' }
// pnpm is a .cmd file on Windows, which only a shell can run.
const shell = process.platform === 'win32'

function prepare(title: string, [program, ...args]: Command): void {
  if (process.env['CI'] === undefined) console.error(`${title} …`)
  const result = spawnSync(program, args, { env, shell, encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 })
  if (result.status === 0) return
  console.error(`${title} failed (${[program, ...args].join(' ')})\n${result.stdout}${result.stderr}`)
  process.exit(1)
}

/** The program ends by itself, after it has drained: a signal is for it, and we wait. */
function run([program, ...args]: Command): void {
  const child = spawn(program, args, { env, shell, stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // Ctrl-C reaches the whole group, the child included.
    process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY ? undefined : child.kill(signal)))
  }
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1)
  })
}

const name = process.argv[2] ?? ''
const command = last[name]
if (command === undefined) throw new Error(`Expected one of ${Object.keys(last).join(', ')}, not "${name}"`)
for (const [title, step] of preparation) prepare(title, step)
run(command)
