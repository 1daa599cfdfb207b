import { useChat } from '@ai-sdk/react'
import type { VerbatimMetadata } from '@verbatim/ai-sdk'
import type { UIMessage } from 'ai'
import { createRoot } from 'react-dom/client'

type ChatMessage = UIMessage<VerbatimMetadata>

/** `stop` of useChat closes the connection and no more: the run belongs to the server, which has an endpoint for it. */
function useStoppableChat(id: string, loaded: ChatMessage[]) {
  const chat = useChat({ id, messages: loaded, resume: true })
  const stop = async () => {
    await fetch(`/api/chat/${id}/stop`, { method: 'POST' })
    await chat.stop()
  }
  return { ...chat, stop }
}

function LostConnection({ onContinue }: { onContinue: () => void }) {
  return (
    <p role="alert">
      The connection was lost. <button onClick={onContinue}>Continue</button>
    </p>
  )
}

function Chat({ id, loaded }: { id: string; loaded: ChatMessage[] }) {
  const { messages, status, error, sendMessage, stop, regenerate, resumeStream } = useStoppableChat(id, loaded)
  const isBusy = status === 'submitted' || status === 'streaming'
  const ask = (data: FormData) => {
    const text = data.get('prompt')
    if (typeof text === 'string' && text !== '') void sendMessage({ text })
  }
  return (
    <main>
      {messages.map((message) => (
        <p key={message.id}>
          <b>{message.role}</b> {message.parts.map((part) => (part.type === 'text' ? part.text : ''))}
        </p>
      ))}
      {error !== undefined && <LostConnection onContinue={() => void resumeStream()} />}
      <form action={ask}>
        <input name="prompt" aria-label="Prompt" />
        <button disabled={isBusy}>Send</button>
        <button type="button" disabled={!isBusy} onClick={() => void stop()}>
          Stop
        </button>
        <button type="button" disabled={isBusy} onClick={() => void regenerate()}>
          Again
        </button>
      </form>
    </main>
  )
}

const id = 'user-123'
const response = await fetch(`/api/chat/${id}`)
const { messages } = (await response.json()) as { messages: ChatMessage[] }
const root = document.querySelector('#root')
if (root !== null) createRoot(root).render(<Chat id={id} loaded={messages} />)
