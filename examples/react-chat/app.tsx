import { createClient, textOf } from '@verbatim/client'
import { useChat, VerbatimProvider } from '@verbatim/client/react'
import { createRoot } from 'react-dom/client'

const verbatim = createClient({ url: location.origin })

function Chat({ sessionId }: { sessionId: string }) {
  const { messages, status, send, stop, error } = useChat(sessionId)
  const ask = (data: FormData) => {
    const prompt = data.get('prompt')
    if (typeof prompt === 'string' && prompt !== '') void send(prompt)
  }
  return (
    <main>
      {messages.map((message) => (
        <p key={message.key}>
          <b>{message.role}</b> {textOf(message.content)}
        </p>
      ))}
      {error !== null && <p role="alert">{error.message}</p>}
      <form action={ask}>
        <input name="prompt" aria-label="Prompt" />
        <button disabled={status !== 'idle'}>Send</button>
        <button type="button" disabled={status === 'idle'} onClick={() => void stop()}>
          Stop
        </button>
      </form>
    </main>
  )
}

const root = document.querySelector('#root')
if (root !== null) {
  createRoot(root).render(
    <VerbatimProvider client={verbatim}>
      <Chat sessionId="user-123" />
    </VerbatimProvider>,
  )
}
