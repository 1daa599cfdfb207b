import { defineConfig } from 'tsdown'

export default defineConfig({
  tsconfig: 'tsconfig.build.json',
  entry: ['src/index.ts', 'src/react/index.ts', 'src/share/index.ts'],
  platform: 'neutral',
  fixedExtension: false,
  dts: true,
  sourcemap: true,
  // Else the declarations keep a bare import of every package that the router's were made with, the engine's among them.
  treeshake: { moduleSideEffects: false },
  deps: {
    // The router's types are copied into our d.ts. A consumer has no @verbatim/api, and an import of it would quietly
    // become `any`: every wrong call would compile.
    alwaysBundle: [/^@verbatim\/api/],
    neverBundle: [/^@verbatim\/core/, /^@trpc\//, /^zod/, /^react/],
  },
})
