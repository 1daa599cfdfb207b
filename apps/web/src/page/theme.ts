/** Light or dark: as the system says, or as the user chose on this page. */
import { useCallback, useState } from 'react'

export const themes = ['system', 'light', 'dark'] as const
export type Theme = (typeof themes)[number]

const key = 'verbatim:theme'

/** The theme chosen before, if any. Called before the first render, so that the page never flashes in the other one. */
export function applyStoredTheme(): void {
  apply(storedTheme())
}

/** The theme, and a function that changes it; the style sheet reads it from the root element. */
export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState(storedTheme)
  const choose = useCallback((next: Theme) => {
    apply(next)
    store(next)
    setTheme(next)
  }, [])
  return [theme, choose]
}

function apply(theme: Theme): void {
  const { dataset } = document.documentElement
  if (theme === 'system') delete dataset['theme']
  else dataset['theme'] = theme
}

function storedTheme(): Theme {
  try {
    return themes.find((theme) => theme === localStorage.getItem(key)) ?? 'system'
  } catch {
    return 'system' // a browser that keeps nothing
  }
}

function store(theme: Theme): void {
  try {
    localStorage.setItem(key, theme)
  } catch {
    // As above: the choice holds until the page is left.
  }
}
