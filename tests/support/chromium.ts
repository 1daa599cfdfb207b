import { execFile } from 'node:child_process'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { installFromDebian, isExecutable } from './debian-package.ts'
import { env } from './env.ts'

const run = promisify(execFile)

const commands = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome', 'microsoft-edge']

const usualPlaces = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  ...['PROGRAMFILES', 'PROGRAMFILES(X86)', 'LOCALAPPDATA'].flatMap((name) => {
    const folder = env[name]
    return folder === undefined ? [] : [join(folder, 'Google', 'Chrome', 'Application', 'chrome.exe')]
  }),
]

/**
 * The path of a Chromium (or Chrome) that playwright-core can drive, installed if that is possible here.
 * Order: `CHROMIUM_PATH`, the PATH and the usual places, Debian's package (as root), playwright-core's own download.
 * @throws one sentence that names what to do, when there is none.
 */
export async function ensureChromium(): Promise<string> {
  const given = env['CHROMIUM_PATH'] ?? ''
  if (given !== '') {
    if (await isExecutable(given)) return given
    throw new Error(`CHROMIUM_PATH names ${given}, which cannot be run; correct it or unset it`)
  }
  const browser = (await installed()) ?? (await fromDebian()) ?? (await fromPlaywright())
  if (browser !== undefined) return browser
  throw new Error('No Chromium was found and none could be installed; install one and set CHROMIUM_PATH to its path')
}

async function installed(): Promise<string | undefined> {
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '')
  const onPath = folders.flatMap((folder) => commands.map((command) => join(folder, command)))
  for (const candidate of [...onPath, ...usualPlaces]) {
    if (await isExecutable(candidate)) return candidate
  }
  return undefined
}

async function fromDebian(): Promise<string | undefined> {
  return (await installFromDebian('chromium')) ? await installed() : undefined
}

async function fromPlaywright(): Promise<string | undefined> {
  const { chromium } = await import('playwright-core')
  const path = chromium.executablePath()
  if (await isExecutable(path)) return path
  const cli = new URL('./cli.js', import.meta.resolve('playwright-core'))
  // As above: offline is an answer.
  return await run(process.execPath, [cli.pathname, 'install', 'chromium'], { timeout: 300_000 }).then(
    () => path,
    () => undefined,
  )
}
