import { useEffect, useRef } from 'react'

/** What the keys of the page do. */
export interface ShortcutActions {
  readonly onNew: () => void
  readonly onSearch: () => void
  readonly onShowShortcuts: () => void
  readonly onRename: () => void
  readonly onDelete: () => void
}

/** Every key that the page knows, for the list that it shows. */
export const shortcuts = [
  { keys: ['Enter'], does: 'Send; after the answer, when one is being made' },
  { keys: ['Shift', 'Enter'], does: 'Begin a line' },
  { keys: ['↑'], does: 'Bring the last message back, in an empty field' },
  { keys: ['Esc'], does: 'Stop the answer' },
  { keys: ['Ctrl', 'K'], does: 'Search the sessions' },
  { keys: ['Ctrl', 'Shift', 'O'], does: 'New chat' },
  { keys: ['F2'], does: 'Rename this session' },
  { keys: ['Ctrl', 'Shift', '⌫'], does: 'Delete this session' },
  { keys: ['Ctrl', '/'], does: 'Show this list' },
] as const

/** Listens for the keys that hold everywhere on the page. On Apple's keyboards ⌘ stands for Ctrl. */
export function useShortcuts(actions: ShortcutActions): void {
  const newest = useRef(actions)
  useEffect(() => {
    newest.current = actions
  })
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const action = actionOf(event, newest.current)
      if (action === undefined) return
      event.preventDefault()
      action()
    }
    document.addEventListener('keydown', onKey)
    return () => document.removeEventListener('keydown', onKey)
  }, [])
}

function actionOf(event: KeyboardEvent, actions: ShortcutActions): (() => void) | undefined {
  if (event.altKey || event.isComposing || document.querySelector('dialog[open]') !== null) return undefined
  const key = event.key.toLowerCase()
  if (key === 'f2') return actions.onRename
  if (!(event.ctrlKey || event.metaKey)) return undefined
  if (key === 'k' && !event.shiftKey) return actions.onSearch
  if (key === 'o' && event.shiftKey) return actions.onNew
  if (key === 'backspace' && event.shiftKey) return actions.onDelete
  return key === '/' ? actions.onShowShortcuts : undefined
}

/** Calls `onEscape` at Esc while `isActive`, unless an input method or what is nearer to the user took the key. */
export function useEscape(isActive: boolean, onEscape: () => void): void {
  useEffect(() => {
    if (!isActive) return
    const onKey = (event: KeyboardEvent) => {
      const isTaken = event.defaultPrevented || event.isComposing || document.querySelector('dialog[open]') !== null
      if (event.key !== 'Escape' || isTaken) return
      event.preventDefault()
      onEscape()
    }
    document.addEventListener('keydown', onKey)
    return () => document.removeEventListener('keydown', onKey)
  }, [isActive, onEscape])
}
