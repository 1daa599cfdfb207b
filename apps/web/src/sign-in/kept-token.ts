/** The token of the user: kept as long as the tab, or in the browser when the user wants it. */

const key = 'verbatim:token'

/** The token that an earlier visit kept; null when there is none. */
export function keptToken(): string | null {
  return stores().reduce<string | null>((found, store) => found ?? store.getItem(key), null)
}

/** Keeps the token. @param isLasting true to keep it when the tab is closed */
export function keepToken(token: string, { isLasting }: { isLasting: boolean }): void {
  forgetToken()
  try {
    const store = isLasting ? localStorage : sessionStorage
    store.setItem(key, token)
  } catch {
    // A browser that keeps nothing: the user is signed in as long as the page is open.
  }
}

export function forgetToken(): void {
  for (const store of stores()) store.removeItem(key)
}

/** Calls `listener` when another tab of this browser has signed out. */
export function onForgotten(listener: () => void): () => void {
  const onStorage = (event: StorageEvent) => {
    // A null key: all was removed.
    if ((event.key === key || event.key === null) && keptToken() === null) listener()
  }
  globalThis.addEventListener('storage', onStorage)
  return () => globalThis.removeEventListener('storage', onStorage)
}

/** None where the browser keeps nothing. */
function stores(): Storage[] {
  try {
    return [sessionStorage, localStorage]
  } catch {
    return []
  }
}
