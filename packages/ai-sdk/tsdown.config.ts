import { defineConfig } from 'tsdown'

export default defineConfig({
  tsconfig: 'tsconfig.build.json',
  entry: ['src/index.ts', 'src/server/index.ts'],
  platform: 'neutral',
  fixedExtension: false,
  dts: true,
  sourcemap: true,
})
