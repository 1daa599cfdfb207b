/** What a chat store shows and takes. */
import type {
  AgentMap,
  Answer,
  AnyAgents,
  DefaultAgentId,
  JsonValue,
  Message,
  PromptInput,
  RunHandleStatus,
  SendArguments,
  Session,
  VerbatimError,
  WhenBusy,
} from '@verbatim/core'
import { mergeMessages } from './chat-messages.ts'
import type { ChatMessage } from './chat-messages.ts'
import { visibleMessages } from './join-parts.ts'
import type { Store } from './publisher.ts'

/** `loading`: the messages are not here yet. `starting`, `streaming`, `reconnecting`: an answer is being made. */
export type ChatStatus = 'loading' | 'idle' | 'starting' | 'streaming' | 'reconnecting'

/** @param status of the handle of the run being made; undefined when there is none */
export function toChatStatus(status: RunHandleStatus | undefined, isLoaded: boolean): ChatStatus {
  switch (status) {
    case 'queued':
    case 'connecting':
      return 'starting'
    case 'starting':
    case 'streaming':
    case 'reconnecting':
      return status
    default:
      return isLoaded ? 'idle' : 'loading'
  }
}

/** A chat as it looks now. */
export interface ChatSnapshot<TAgents extends AgentMap = AnyAgents> {
  /** Oldest first, the one being made last. */
  readonly messages: readonly ChatMessage<TAgents>[]
  readonly status: ChatStatus
  /** What went wrong last, until the next `send`, or until the server is reached again; also a failed run's error. */
  readonly error: VerbatimError | null
  /** The run being made. */
  readonly runId: string | null
  readonly hasOlder: boolean
  /** The session with its title, as it is now; null before it is loaded, and while there is none of this id. */
  readonly session: Session | null
  /** The attempt that the run being made waits for, because the model's provider refused the one before; null otherwise. */
  readonly retrying: Answer['retrying']
}

/** What {@link ChatStore.send} takes beside the prompt. */
export interface ChatSendOptions {
  /** The agent that answers. @default the server's first */
  readonly agentId?: string | undefined
  /** What the agent takes beside the prompt, see `SendOptions.input`. */
  readonly input?: JsonValue | undefined
  /** What becomes of the prompt while an answer is being made. @default "reject" */
  readonly whenBusy?: WhenBusy | undefined
}

/** A chat to watch and to talk in. None of its functions rejects: what goes wrong is the snapshot's `error`. */
export interface ChatStore<TAgents extends AgentMap = AnyAgents> extends Store<ChatSnapshot<TAgents>> {
  /**
   * Sends a prompt; it is shown at once and taken back when it is refused. Resolves with true once it is durable, and with
   * false when it was refused. When another tab's run is being made (`SESSION_BUSY`), that one is shown. With `whenBusy` the
   * prompt waits for its turn instead, or replaces all before it; it is shown as `queued` meanwhile.
   */
  readonly send: <TId extends keyof TAgents & string = DefaultAgentId<TAgents>>(
    prompt: PromptInput,
    ...options: SendArguments<TAgents, TId, ChatSendOptions>
  ) => Promise<boolean>
  /** Asks the server to stop the answer; what is there of it stays, as a cancelled message. */
  readonly stop: () => Promise<void>
  /**
   * Has the newest answer made again, however it ended; one that other runs continued, as a whole. The new one takes its place here
   * and in what models receive; the old one stays stored. Resolves with true once it is durable, and with false when there is none or the server refuses.
   */
  readonly regenerate: () => Promise<boolean>
  /**
   * As {@link ChatStore.regenerate} for an answer that did not complete; does nothing after one that did. Of a continued answer it
   * makes the last part again: what came before it is kept.
   */
  readonly retry: () => Promise<boolean>
  /**
   * Has the model go on where the newest answer ends, when that reached its greatest length (stop reason `max_tokens`); does nothing
   * after another one. No prompt is shown, and the rest joins the answer in its place. Resolves as {@link ChatStore.regenerate}.
   */
  readonly continueAnswer: () => Promise<boolean>
  /** Loads the page of messages before the oldest one shown. */
  readonly loadOlder: () => Promise<void>
  /** Loads the newest messages again and joins the run being made, if any. Done by itself when the page is shown again. */
  readonly refresh: () => Promise<void>
  /** Shows `messages` until the newest are loaded; does nothing after that. */
  readonly seed: (messages: readonly Message[]) => void
  /** The session is not there yet: nothing is loaded until a prompt makes it, here or elsewhere. Does nothing after a load. */
  readonly expectNew: () => void
}

export const initialChat: ChatSnapshot & { readonly messages: readonly [] } = Object.freeze({
  messages: [] as const,
  status: 'loading',
  error: null,
  runId: null,
  hasOlder: false,
  session: null,
  retrying: null,
})

const chats = new WeakMap<readonly Message[], object>()

/** The chat that shows `messages` while it loads; for the same messages the same object. */
export function chatWith<TAgents extends AgentMap>(messages: readonly Message[]): ChatSnapshot<TAgents> {
  const known: object | undefined = chats.get(messages)
  if (known !== undefined) return known as ChatSnapshot<TAgents> // which agents there are is a type alone
  const made = Object.freeze({ ...initialChat, messages: visibleMessages(mergeMessages([], messages), []) })
  chats.set(messages, made)
  return made as object as ChatSnapshot<TAgents>
}
