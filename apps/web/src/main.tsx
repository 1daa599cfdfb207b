import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { preloadMarkdown } from './markdown/markdown.tsx'
import { Entry } from './page/entry.tsx'
import { applyStoredTheme } from './page/theme.ts'
import { sessionIdOfHash } from './session/session-route.ts'
import { createAccess } from './sign-in/access.ts'
import './styles/base.css'
import './styles/layout.css'
import './styles/chat.css'
import './styles/markdown.css'
import './styles/sign-in.css'
import './styles/print.css'

applyStoredTheme()
preloadMarkdown({ isNeeded: sessionIdOfHash(globalThis.location.hash) !== undefined })
const root = document.querySelector('#root')
if (root === null) throw new Error('index.html has no #root')

createRoot(root).render(
  <StrictMode>
    <Entry access={createAccess(globalThis.location.origin)} />
  </StrictMode>,
)
