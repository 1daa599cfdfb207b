import { createClient } from '@verbatim/client'

const verbatim = createClient({ url: 'http://127.0.0.1:8787', token: () => getToken() })

const run = verbatim.chat('session-1').send('Explain async iteration')
for await (const text of run.text) process.stdout.write(text)
const message = await run.message // as stored, with metrics

// What the reader has.
declare function getToken(): Promise<string>
console.log(message)
