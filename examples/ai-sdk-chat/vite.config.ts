import react from '@vitejs/plugin-react'
import { defaultClientConditions, defineConfig } from 'vite'

export default defineConfig({
  plugins: [react()],
  // Only in this repository: the examples share a package, and two servers must not write one cache at a time.
  cacheDir: '../node_modules/.vite/ai-sdk-chat',
  // Only in this repository: our packages are read from their sources.
  resolve: { conditions: ['verbatim-source', ...defaultClientConditions] },
})
