/** The demo model's words: Markdown that says it is canned and shows what to try. */

export interface DemoQuestion {
  readonly prompt: string
  /** The number of the user's messages in the conversation, with this one. */
  readonly turn: number
}

/** The answer to a question; the same for the same question. */
export function demoAnswer({ prompt, turn }: DemoQuestion): string {
  const quote = shorten(prompt, 160)
  return [
    `## A canned answer\n\nI am the **local demo model**: no real model runs here, and I do not understand what you write. You asked:`,
    `> ${escapeMarkdown(quote)}`,
    `That is ${describe(prompt)}, the last of ${turn} that I was given of this conversation. ${opening(prompt)}`,
    ...sectionsFor(prompt),
    `## A real answer\n\nGive the server a key and the same path ends at Claude:\n\n${fence('sh', 'ANTHROPIC_API_KEY=sk-ant-... npm start')}`,
  ].join('\n\n')
}

function describe(prompt: string): string {
  const words = prompt.split(/\s+/).filter((word) => word !== '').length
  const kind = prompt.trimEnd().endsWith('?') ? 'a question' : 'a message'
  return `${kind} of ${words} ${words === 1 ? 'word' : 'words'}`
}

function opening(prompt: string): string {
  return isGreeting(prompt) ? 'Hello to you too!' : 'A model would answer it here; I can show how an answer travels.'
}

function isGreeting(prompt: string): boolean {
  return /^\s*(hi|hello|hey|good (morning|day|evening)|hallo)\b/i.test(prompt)
}

type Section = (prompt: string) => string

const subjects: readonly { readonly pattern: RegExp; readonly section: Section }[] = [
  { pattern: /\b(code|function|typescript|javascript|api|sdk|program)\b/i, section: code },
  { pattern: /\b(crash|kill|lost|lose|restart|disconnect|resume|reload|fail)/i, section: crash },
  { pattern: /\b(stream|token|mongo|database|store|stored|durable|event)/i, section: stream },
]

/** One section by the prompt's subject, or by its letters when it has none of these; a "long" prompt gets all. */
function sectionsFor(prompt: string): string[] {
  const all = subjects.map(({ section }) => section)
  const chosen = /\blong(er)?\b/i.test(prompt)
    ? all
    : [subjects.find(({ pattern }) => pattern.test(prompt))?.section ?? all[sumOf(prompt) % all.length] ?? stream]
  return chosen.map((section) => section(prompt))
}

function sumOf(prompt: string): number {
  return [...new TextEncoder().encode(prompt)].reduce((sum, byte) => sum + byte, 0)
}

function stream(): string {
  return `## How these words reach you

1. I send them as a stream, in the wire protocol that Claude speaks.
2. The server collects what has come and commits it to MongoDB.
3. Readers see it only then, so **nothing you have read can be taken back**.
4. Each piece has a number. A reader that comes later, or again, reads on from its own.

Open this conversation in a second tab while I am still writing: both show the same words. When I am done, the pieces are one message:

${fence('json', '{ "role": "assistant", "status": "completed", "content": [{ "type": "text", "text": "## A canned…" }] }')}`
}

function crash(): string {
  return `## Try to lose some of this

- **Reload the page** while I write: the words that were there come back and the next ones follow.
- **Switch the network off** for a moment: the client goes on from its cursor, once, without a gap.
- **Kill the server** and start it again: after a few seconds the answer goes on by itself, from the words that you had seen.
- **Press stop**: what was said stays, marked as cancelled.

From a shell, with the run's id, the same is a request that says what was seen last:

${fence('sh', 'curl -N -H "Last-Event-ID: $RUN_ID:42" http://127.0.0.1:8787/chat/sse/$RUN_ID')}`
}

function code(prompt: string): string {
  return `## The same in a program

A few lines give you this conversation, with everything the page has:

${fence(
  'ts',
  `const verbatim = createClient({ url: 'http://127.0.0.1:8787' })
const run = verbatim.chat('session-1').send(${JSON.stringify(shorten(prompt, 60))})
for await (const text of run.text) process.stdout.write(text)
const message = await run.message`,
)}

- \`run.text\` goes on after a lost connection by itself, without a word twice.
- \`run.message\` is the answer as it is stored, with tokens and times.
- \`run.cancel()\` stops the model, not only the reading.
- The run's id is made by you, so a request that is sent twice is one run.`
}

function fence(language: string, text: string): string {
  return `\`\`\`${language}\n${text}\n\`\`\``
}

const segmenter = new Intl.Segmenter()

/** One line of at most `maxLength` characters as a reader counts them, each of them whole. */
function shorten(text: string, maxLength: number): string {
  const line = text.replace(/\s+/g, ' ').trim()
  let short = ''
  let length = 0
  for (const { segment } of segmenter.segment(line)) {
    if (length++ === maxLength) return `${short.trimEnd()}…`
    short += segment
  }
  return line
}

/** Shows the prompt as it was typed, without links, pictures or headings of its own. */
function escapeMarkdown(text: string): string {
  return text.replace(/[\\`*_{}[\]<>#|!~&]/g, '\\$&')
}
