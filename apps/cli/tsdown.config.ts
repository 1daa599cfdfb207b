import { defineConfig } from 'tsdown'

export default defineConfig({
  tsconfig: 'tsconfig.build.json',
  entry: ['src/main.ts'],
  platform: 'node',
  fixedExtension: false,
  dts: false,
  sourcemap: true,
})
