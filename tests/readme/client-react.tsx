import { useChat, VerbatimProvider } from '@verbatim/client/react'

function Chat() {
  const { messages, status, send, stop, error } = useChat('session-1')
  const ask = (data: FormData) => {
    const prompt = data.get('prompt')
    if (typeof prompt === 'string') void send(prompt)
  }
  return (
    <form action={ask}>
      {messages.map((message) => (
        <Bubble key={message.key} message={message} />
      ))}
      <input name="prompt" disabled={status !== 'idle'} />
      <button type="button" onClick={() => void stop()}>
        Stop
      </button>
      {error?.message}
    </form>
  )
}

export const Page = () => (
  <VerbatimProvider client={verbatim}>
    <Chat />
  </VerbatimProvider>
)

// What the reader has.
import type { ChatMessage, VerbatimClient } from '@verbatim/client'
import type { ReactNode } from 'react'

declare const verbatim: VerbatimClient
declare function Bubble(props: { message: ChatMessage }): ReactNode
