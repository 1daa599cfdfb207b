import './page/no-eval.ts'
import { createClient } from '@verbatim/client'
import { VerbatimProvider } from '@verbatim/client/react'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './page/app.tsx'
import { applyStoredTheme } from './page/theme.ts'
import './styles/base.css'
import './styles/layout.css'
import './styles/chat.css'
import './styles/markdown.css'
import './styles/print.css'

applyStoredTheme()
const verbatim = createClient({ url: globalThis.location.origin })
const root = document.querySelector('#root')
if (root === null) throw new Error('index.html has no #root')

createRoot(root).render(
  <StrictMode>
    <VerbatimProvider client={verbatim}>
      <App />
    </VerbatimProvider>
  </StrictMode>,
)
