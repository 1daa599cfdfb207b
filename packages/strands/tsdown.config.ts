import { defineConfig } from 'tsdown'

export default defineConfig({
  tsconfig: 'tsconfig.build.json',
  entry: ['src/index.ts'],
  platform: 'node',
  fixedExtension: false,
  dts: true,
  sourcemap: true,
})
