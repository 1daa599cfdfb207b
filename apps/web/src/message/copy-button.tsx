import { useCallback, useEffect, useState } from 'react'

const shownMs = 1_600

const labels = { idle: 'Copy', copied: 'Copied', failed: 'Cannot copy' } as const

/** Copies what `textOf` gives when it is pressed, and says for a moment whether that worked. */
export function CopyButton({ textOf, what }: { textOf: () => string; what: string }) {
  const [state, setState] = useState<keyof typeof labels>('idle')

  useEffect(() => {
    if (state === 'idle') return
    const timer = setTimeout(() => setState('idle'), shownMs)
    return () => clearTimeout(timer)
  }, [state])

  const copy = useCallback(() => {
    copyText(textOf()).then(
      () => setState('copied'),
      () => setState('failed'), // the browser forbids it here; the text can still be selected
    )
  }, [textOf])

  return (
    <button type="button" className="quiet-button" onClick={copy} aria-label={`${labels[state]} ${what}`}>
      {labels[state]}
    </button>
  )
}

/** A page over plain HTTP has no clipboard of its own, but may copy what is selected. @throws when the browser forbids both */
async function copyText(text: string): Promise<void> {
  if (globalThis.isSecureContext) return await navigator.clipboard.writeText(text)
  const field = document.createElement('textarea')
  field.value = text
  field.className = 'visually-hidden'
  document.body.append(field)
  const { activeElement } = document
  field.select()
  const isCopied = document.execCommand('copy')
  field.remove()
  if (activeElement instanceof HTMLElement) activeElement.focus()
  if (!isCopied) throw new Error('The browser copies nothing here')
}
