import { useMemo, useSyncExternalStore } from 'react'
import { initialChat } from '../stores/chat-snapshot.ts'
import type { ChatSnapshot, ChatStore } from '../stores/chat-snapshot.ts'
import { chatStore } from '../stores/chat-store.ts'
import { useVerbatim } from './provider.tsx'

/** What {@link useChat} gives: the chat as it looks now, and what can be done with it. */
export type UseChatResult = ChatSnapshot & Omit<ChatStore, 'getSnapshot' | 'subscribe'>

/**
 * A session: its messages, the answer being made, and the functions to talk. All components with the same session share one
 * connection, and a page that is loaded in mid-answer goes on where the answer is.
 *
 * @example
 * const { messages, status, send, stop } = useChat('session-1')
 */
export function useChat(sessionId: string): UseChatResult {
  const store = chatStore(useVerbatim(), sessionId)
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, serverSnapshot)
  return useMemo(() => {
    const { send, stop, regenerate, retry, loadOlder, refresh } = store
    return { ...snapshot, send, stop, regenerate, retry, loadOlder, refresh }
  }, [store, snapshot])
}

/** A server renders the empty chat; the browser loads. */
function serverSnapshot(): ChatSnapshot {
  return initialChat
}
