import { useEffect, useLayoutEffect } from 'react'
import type { RefObject } from 'react'

/** True where fingers are the first way to point: the keyboard is on the screen. */
export function isTouch(): boolean {
  return globalThis.matchMedia('(pointer: coarse)').matches
}

/** Gives the field the focus when the page comes up. Not on touch screens, where it would bring up the keyboard. */
export function useFocusAtFirst(field: RefObject<HTMLTextAreaElement | null>): void {
  useEffect(() => {
    if (!isTouch()) field.current?.focus({ preventScroll: true })
  }, [field])
}

/** Takes the focus when an answer begins, or ends, and the button that was pressed has gone with it. */
export function useFocusWhenLost(field: RefObject<HTMLTextAreaElement | null>, isBusy: boolean): void {
  useEffect(() => {
    if (document.activeElement === document.body && !isTouch()) field.current?.focus({ preventScroll: true })
  }, [field, isBusy])
}

/** A text of as many characters fills the field anyhow, and measuring it takes time with every key. */
const tallFrom = 5_000

/** Makes the field as high as its text where the style sheet cannot do it: to measure it lays out the whole page with every key. */
export function useFittingHeight(field: RefObject<HTMLTextAreaElement | null>, text: string): void {
  useLayoutEffect(() => {
    if (field.current === null || CSS.supports('field-sizing', 'content')) return
    if (text.length > tallFrom) {
      field.current.style.height = '100vh' // the style sheet bounds it
      return
    }
    field.current.style.height = 'auto'
    field.current.style.height = `${field.current.scrollHeight}px`
  }, [field, text])
}
