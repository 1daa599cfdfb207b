import { describe, expect, test } from 'vitest'
import type { ChatError } from '../message/chat-message.ts'
import { isMended } from './use-shown-error.ts'

function errorOf(code: ChatError['code']): ChatError {
  return { code, message: 'It is said to developers', data: {}, retryable: false } as ChatError
}

const seen = { status: 'idle', text: '' } as const
const states = ['loading', 'idle', 'streaming', 'reconnecting'] as const

/** The statuses after which the notice goes, of all that may follow `before`. */
function goesAfter(code: 'UNAVAILABLE' | 'SESSION_BUSY', before: (typeof states)[number]): string[] {
  const error = errorOf(code)
  return states.filter((status) => isMended(error, { ...seen, status: before }, { ...seen, status }))
}

describe('A notice goes when its cause is gone:', () => {
  test('the server that could not be reached is there again when the answer goes on', () => {
    expect(goesAfter('UNAVAILABLE', 'reconnecting')).toEqual(['loading', 'idle', 'streaming'])
    expect(goesAfter('UNAVAILABLE', 'idle')).toEqual([])
  })

  test('a busy session is free when its answer has ended', () => {
    expect(goesAfter('SESSION_BUSY', 'streaming')).toEqual(['idle'])
    expect(goesAfter('SESSION_BUSY', 'idle')).toEqual([])
  })

  test('a refused text is another one, when it has been changed, and not when it comes back into the field', () => {
    const error = errorOf('INVALID_INPUT')
    expect(isMended(error, { ...seen, text: '' }, { ...seen, text: 'refused' })).toBe(false)
    expect(isMended(error, { ...seen, text: 'refused' }, { ...seen, text: 'refuse' })).toBe(true)
  })
})
