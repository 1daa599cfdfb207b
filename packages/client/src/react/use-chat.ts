import type { AgentMap, AnyAgents } from '@verbatim/core'
import { useMemo, useSyncExternalStore } from 'react'
import { initialChat } from '../stores/chat-snapshot.ts'
import type { ChatSnapshot, ChatStore } from '../stores/chat-snapshot.ts'
import { chatStore } from '../stores/chat-store.ts'
import { useVerbatim } from './provider.tsx'

/** What {@link useChat} gives: the chat as it looks now, and what can be done with it. */
export type UseChatResult<TAgents extends AgentMap = AnyAgents> = ChatSnapshot<TAgents> &
  Omit<ChatStore<TAgents>, 'getSnapshot' | 'subscribe'>

/**
 * A session: its messages, the answer being made, and the functions to talk. All components with the same session share one
 * connection, and a page that is loaded in mid-answer goes on where the answer is.
 *
 * @example
 * const { messages, status, send, stop } = useChat('session-1')
 */
export function useChat<TAgents extends AgentMap = AnyAgents>(sessionId: string): UseChatResult<TAgents> {
  const store = chatStore(useVerbatim<TAgents>(), sessionId)
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, serverSnapshot<TAgents>)
  return useMemo(() => {
    const { send, stop, regenerate, retry, loadOlder, refresh } = store
    return { ...snapshot, send, stop, regenerate, retry, loadOlder, refresh }
  }, [store, snapshot])
}

/** A server renders the empty chat; the browser loads. */
function serverSnapshot<TAgents extends AgentMap>(): ChatSnapshot<TAgents> {
  return initialChat
}
