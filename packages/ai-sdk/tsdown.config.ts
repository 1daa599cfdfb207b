import { defineConfig } from 'tsdown'

export default defineConfig({
  tsconfig: 'tsconfig.build.json',
  entry: { index: 'src/index.ts', 'server/index': 'src/server/index.ts', agent: 'src/agent/ai-sdk.ts' },
  platform: 'neutral',
  fixedExtension: false,
  dts: true,
  sourcemap: true,
})
