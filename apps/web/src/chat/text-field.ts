import { useEffect, useLayoutEffect } from 'react'
import type { RefObject } from 'react'

/** Gives the field the focus when the page comes up. Not on touch screens, where it would bring up the keyboard. */
export function useFocusAtFirst(field: RefObject<HTMLTextAreaElement | null>): void {
  useEffect(() => {
    if (globalThis.matchMedia('(pointer: fine)').matches) field.current?.focus({ preventScroll: true })
  }, [field])
}

/** Makes the field as high as its text; the style sheet bounds it. */
export function useFittingHeight(field: RefObject<HTMLTextAreaElement | null>, text: string): void {
  useLayoutEffect(() => {
    if (field.current === null) return
    field.current.style.height = 'auto'
    field.current.style.height = `${field.current.scrollHeight}px`
  }, [field, text])
}
