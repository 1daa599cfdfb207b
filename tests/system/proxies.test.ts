/** The plain endpoints behind a real nginx: in its default configuration, which speaks HTTP/1.0 to servers, and as our guide has it. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { json } from '@verbatim/test-kit/http'
import {
  beginning,
  callStart,
  cuttingAfter,
  saying,
  startProvider,
  textDelta,
  textStart,
} from '@verbatim/test-kit/provider'
import { describe, expect, it } from 'vitest'
import { openApp } from '../support/app.ts'
import { claudeAt } from '../support/claude.ts'
import { startNginx } from '../support/nginx.ts'

const run = promisify(execFile)
const headers = { authorization: 'Bearer ada' }
const question = { sessionId: 'user-123', message: 'Explain async programming' }
const half = () => cuttingAfter(callStart(), textStart(), textDelta('Half '), textDelta('an '))

describe.for([
  ['HTTP/1.0, its default', ''],
  ['HTTP/1.1', 'proxy_http_version 1.1; proxy_set_header Connection "";'],
] as const)('behind an nginx that speaks %s', ([, directives]) => {
  it('/chat/stream that fails after its first words reads as cut, and one that ends reads as whole', async () => {
    await using provider = await startProvider(half(), half(), saying('All ', 'of it'))
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    await using proxy = await startNginx(app.url, directives)
    const ask = async () => await fetch(`${proxy.url}/chat/stream`, json(question, headers))
    const cut = await ask()
    expect(cut.status).toBe(200)
    await expect(cut.text()).rejects.toThrow('terminated')
    await expect(curl(`${proxy.url}/chat/stream`)).rejects.toMatchObject({ code: 18 }) // "transfer closed with data remaining"
    const whole = await ask()
    expect(await whole.text()).toBe('All of it')
  })

  it.for(['/chat/stream', '/chat/sse'])(
    '%s sends each word as it comes, neither collected nor compressed',
    async (path) => {
      await using provider = await startProvider(beginning('First'))
      await using app = await openApp({ agents: [claudeAt(provider.url)] })
      await using proxy = await startNginx(app.url, directives)
      const asked = json(question, { ...headers, 'accept-encoding': 'gzip' })
      const response = await fetch(proxy.url + path, asked)
      expect(response.headers.get('content-encoding')).toBeNull()
      const text = response.body!.pipeThrough(new TextDecoderStream())
      let received = ''
      let said = ''
      for await (const chunk of text) {
        received += chunk
        if (said === '' && received.includes('First')) provider.calls[0]!.send(textDelta((said = ' second')))
        else if (said === ' second' && received.includes(said)) provider.calls[0]!.finish((said = ' third'))
      }
      expect(received).toContain(' third')
    },
  )
})

async function curl(url: string): Promise<unknown> {
  const data = [
    '-d',
    JSON.stringify(question),
    '-H',
    'content-type: application/json',
    '-H',
    'authorization: Bearer ada',
  ]
  return await run('curl', ['-sSN', '-X', 'POST', url, ...data])
}
