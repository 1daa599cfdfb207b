import type { AgentMap, AnyAgents, Message } from '@verbatim/core'
import { useCallback, useMemo, useSyncExternalStore } from 'react'
import { chatWith, initialChat } from '../stores/chat-snapshot.ts'
import type { ChatSnapshot, ChatStore } from '../stores/chat-snapshot.ts'
import { chatStore } from '../stores/chat-store.ts'
import { useVerbatim } from './provider.tsx'

/** What {@link useChat} gives: the chat as it looks now, and what can be done with it. */
export type UseChatResult<TAgents extends AgentMap = AnyAgents> = ChatSnapshot<TAgents> &
  Omit<ChatStore<TAgents>, 'getSnapshot' | 'subscribe' | 'seed' | 'expectNew'>

/** Options of {@link useChat}. */
export interface UseChatOptions {
  /**
   * Messages to show until the browser has loaded the newest: those that a server has read for its rendering
   * (`(await client.messages.list(id, { order: 'newest' })).items`). Server and browser must be given the same ones.
   */
  readonly initialMessages?: readonly Message[] | undefined
  /**
   * True for a session whose id the page has just made. Nothing is loaded then until a prompt makes the session, and no call is
   * answered with 404.
   * @default false
   */
  readonly isNew?: boolean | undefined
}

/**
 * A session: its messages, the answer being made, and the functions to talk. All components with the same session share one
 * connection, and a page that is loaded in mid-answer goes on where the answer is. What another tab or device sends shows here, too.
 *
 * Tabs share no connection by themselves: each has one stream for states of sessions and one for each active run. To share one among
 * the tabs of a user, make the client with `streams: shareStreams({ user })`, from `@verbatim/client/share`.
 *
 * @example
 * const { messages, status, send, stop } = useChat('session-1')
 */
export function useChat<TAgents extends AgentMap = AnyAgents>(
  sessionId: string,
  { initialMessages, isNew = false }: UseChatOptions = {},
): UseChatResult<TAgents> {
  const store = chatStore(useVerbatim<TAgents>(), sessionId)
  const initial = useCallback(
    (): ChatSnapshot<TAgents> => (initialMessages === undefined ? initialChat : chatWith(initialMessages)),
    [initialMessages],
  )
  // The store takes them when it is watched, so never on a server, where all callers may share it.
  const subscribe = useCallback(
    (listener: () => void) => {
      if (initialMessages !== undefined) store.seed(initialMessages)
      if (isNew) store.expectNew()
      return store.subscribe(listener)
    },
    [store, initialMessages, isNew],
  )
  const getSnapshot = useCallback(() => {
    const snapshot = store.getSnapshot()
    return Object.is(snapshot, initialChat) ? initial() : snapshot
  }, [store, initial])
  const snapshot = useSyncExternalStore(subscribe, getSnapshot, initial)
  return useMemo(() => {
    const { send, stop, regenerate, retry, continueAnswer, loadOlder, refresh } = store
    return { ...snapshot, send, stop, regenerate, retry, continueAnswer, loadOlder, refresh }
  }, [store, snapshot])
}
