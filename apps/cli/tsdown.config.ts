import { defineConfig } from 'tsdown'

export default defineConfig({
  tsconfig: 'tsconfig.build.json',
  entry: ['src/main.ts'],
  platform: 'node',
  // Lowers `await using`: people run the command under the Node they have.
  target: 'node20',
  fixedExtension: false,
  dts: false,
  sourcemap: true,
})
