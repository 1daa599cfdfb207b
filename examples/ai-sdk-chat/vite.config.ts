import react from '@vitejs/plugin-react'
import { defaultClientConditions, defineConfig } from 'vite'

export default defineConfig({
  plugins: [react()],
  // Only in this repository: our packages are read from their sources.
  resolve: { conditions: ['verbatim-source', ...defaultClientConditions] },
})
