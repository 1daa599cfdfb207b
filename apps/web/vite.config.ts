import react from '@vitejs/plugin-react'
import { defaultClientConditions, defineConfig } from 'vite'
import type { Plugin, ProxyOptions } from 'vite'

/** The API as apps/server serves it. An answer that the server breaks off must break off here too, so that the page reconnects. */
const server: ProxyOptions = {
  target: 'http://127.0.0.1:8787',
  configure(proxy) {
    proxy.on('proxyRes', (answer, _request, response) => {
      answer.once('close', () => {
        if (!answer.complete) response.destroy()
      })
    })
  },
}

/** Browsers decode entities by their DOM, which workers have not. */
const entitiesWithoutDom: Plugin = {
  name: 'entities-without-dom',
  enforce: 'pre',
  async resolveId(source, importer) {
    if (source !== 'decode-named-character-reference') return null
    const found = await this.resolve(source, importer, { skipSelf: true })
    return found === null ? null : { ...found, id: found.id.replace(/index\.dom\.js$/, 'index.js') }
  },
}

export default defineConfig(({ command }) => ({
  plugins: [react()],
  resolve: {
    // While developing, our packages are read from their src; a build takes what they ship, which turbo builds first.
    conditions: command === 'serve' ? ['verbatim-source', ...defaultClientConditions] : [...defaultClientConditions],
    dedupe: ['react', 'react-dom'],
  },
  server: { proxy: { '/trpc': server, '/chat': server, '/attachments': server, '/config.json': server } },
  // What the first prompt needs is one file; the parser of Markdown and what only some answers need are loaded later.
  worker: { plugins: () => [entitiesWithoutDom] },
  build: { outDir: 'dist', target: 'es2022' },
}))
