import { VerbatimProvider } from '@verbatim/client/react'
import { useSyncExternalStore } from 'react'
import type { Access } from '../sign-in/access.ts'
import { SignInPage } from '../sign-in/sign-in-page.tsx'
import { App } from './app.tsx'
import { useServerConfig } from './server-config.ts'

/** The page of the one who uses it, or the way to sign in where the server needs to know. */
export function Entry({ access }: { access: Access }) {
  const { client, isSignedIn, wasRefused } = useSyncExternalStore(access.subscribe, access.getSnapshot)
  const config = useServerConfig()
  // The answer takes as long as one request; a page in between would only flash.
  if (config === undefined) return null
  if (config?.needsToken === true && !isSignedIn) {
    return <SignInPage wasRefused={wasRefused} onSignIn={access.signIn} />
  }
  return (
    <VerbatimProvider client={client}>
      <App config={config} onSignOut={isSignedIn ? access.signOut : undefined} />
    </VerbatimProvider>
  )
}
