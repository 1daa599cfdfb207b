/** A real nginx before a server, as users have it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '@verbatim/test-kit/http'
import { installFromDebian, isExecutable } from './debian-package.ts'
import { env } from './env.ts'

export interface Proxy extends AsyncDisposable {
  /** The proxy's address, in the place of the server's. */
  readonly url: string
}

/** Starts nginx before the server at `target`. It speaks HTTP/1.0 to it and buffers, unless `directives` say otherwise. */
export async function startNginx(target: string, directives = ''): Promise<Proxy> {
  const folder = await mkdtemp(join(tmpdir(), 'verbatim-nginx-'))
  const port = await freePort()
  const file = join(folder, 'nginx.conf')
  await writeFile(file, configuration({ folder, port, target, directives }))
  const nginx = spawn(await ensureNginx(), ['-p', folder, '-c', file, '-g', 'daemon off;'], { stdio: 'ignore' })
  const exited = once(nginx, 'exit')
  const url = `http://127.0.0.1:${port}`
  await untilAnswered(url, exited)
  return {
    url,
    async [Symbol.asyncDispose]() {
      nginx.kill()
      await exited
      await rm(folder, { recursive: true, force: true })
    },
  }
}

interface Configuration {
  readonly folder: string
  readonly port: number
  readonly target: string
  readonly directives: string
}

function configuration({ folder, port, target, directives }: Configuration): string {
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `
    worker_processes 1;
    pid ${folder}/nginx.pid;
    error_log /dev/null;
    events { worker_connections 256; }
    http {
      access_log off;
      gzip on;
      gzip_proxied any;
      ${paths.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}
      server {
        listen 127.0.0.1:${port};
        location / { proxy_pass ${target}; ${directives} }
      }
    }`
}

async function ensureNginx(): Promise<string> {
  const found = (await installed()) ?? ((await installFromDebian('nginx-light')) ? await installed() : undefined)
  if (found === undefined) throw new Error('No nginx was found and none could be installed; install one on the PATH')
  return found
}

async function installed(): Promise<string | undefined> {
  const folders = [...(env['PATH'] ?? '').split(delimiter), '/usr/sbin'].filter((folder) => folder !== '')
  for (const folder of folders) if (await isExecutable(join(folder, 'nginx'))) return join(folder, 'nginx')
  return undefined
}

async function untilAnswered(url: string, exited: Promise<unknown>): Promise<void> {
  let hasExited = false
  void exited.then(() => (hasExited = true))
  for (;;) {
    if (
      await fetch(url).then(
        (response) => response.status > 0,
        () => false,
      )
    )
      return
    if (hasExited) throw new Error('nginx ended before it answered')
    await delay(20)
  }
}
