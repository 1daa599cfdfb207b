import { createClient } from '@verbatim/client'

const verbatim = createClient({ url: 'http://127.0.0.1:8787' })
const run = verbatim.chat('session-1').send('Explain async iteration in two sentences')

for await (const text of run.text) process.stdout.write(text)

const message = await run.message // as it was stored
console.log('\n', message.metrics?.outputTokens, 'tokens,', message.metrics?.timeToFirstTokenMs, 'ms to the first')
