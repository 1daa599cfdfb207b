import { useEffect, useRef, useState } from 'react'
import type { FormEvent } from 'react'
import { Mark } from '../page/icons.tsx'
import { checkToken } from './access.ts'
import type { Access } from './access.ts'

const errors = {
  refused: 'The server does not accept this token. Check that it is whole, or ask for a new one.',
  unreachable: 'The server cannot be reached just now. Try again in a moment.',
} as const

interface SignInPageProps {
  readonly wasRefused: boolean
  readonly onSignIn: Access['signIn']
}

/** Asks for the token that the server needs. */
export function SignInPage({ wasRefused, onSignIn }: SignInPageProps) {
  const { state, error, field, submit } = useSignIn(onSignIn)
  return (
    <main className="sign-in">
      <form onSubmit={submit}>
        <Mark />
        <h1>Sign in to Verbatim</h1>
        <p>
          {wasRefused
            ? 'Your token is no longer valid. Your sessions are kept; sign in with a new token to go on.'
            : 'This server needs an access token. Its operator gives you one.'}
        </p>
        <label htmlFor="token">Access token</label>
        <input
          ref={field}
          id="token"
          name="token"
          type="password"
          autoComplete="current-password"
          autoCapitalize="off"
          spellCheck={false}
          dir="ltr"
          required
          aria-invalid={error !== null}
          aria-describedby={error === null ? undefined : 'token-error'}
          data-testid="token"
        />
        {error !== null && (
          <p id="token-error" className="field-error" role="alert" data-testid="token-error">
            {error}
          </p>
        )}
        <label className="check">
          <input type="checkbox" name="lasting" /> Keep me signed in on this device
        </label>
        <button type="submit" className="primary-button" disabled={state === 'checking'} data-testid="sign-in">
          {state === 'checking' ? 'Signing in…' : 'Sign in'}
        </button>
      </form>
    </main>
  )
}

function useSignIn(onSignIn: Access['signIn']) {
  const [state, setState] = useState<'idle' | 'checking' | keyof typeof errors>('idle')
  const field = useRef<HTMLInputElement>(null)
  const isError = state === 'refused' || state === 'unreachable'
  useEffect(() => {
    // At first, and after a refusal, when the button that was pressed had the focus.
    if (state === 'idle' || isError) field.current?.focus()
    if (isError) field.current?.select()
  }, [state, isError])

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const isLasting = new FormData(event.currentTarget).has('lasting')
    const token = field.current?.value.trim() ?? ''
    setState('checking')
    void checkToken(globalThis.location.origin, token).then((check) => {
      if (check === 'accepted') onSignIn(token, { isLasting })
      else setState(check)
    })
  }
  return { state, error: isError ? errors[state] : null, field, submit }
}
