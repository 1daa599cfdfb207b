import { defineConfig } from 'tsdown'

export default defineConfig({
  tsconfig: 'tsconfig.build.json',
  entry: ['src/main.ts'],
  platform: 'node',
  fixedExtension: false,
  dts: false,
  sourcemap: true,
  deps: {
    // A few files instead of the six hundred that Node would look for, one after another, before the server is ready. What is not
    // needed for that is loaded later, from its own package; so is what looks for its own files.
    alwaysBundle: [/^@verbatim\//, /^@trpc\//, /^mongodb/, /^bson$/, /^zod/, 'prom-client', 'file-type'],
    neverBundle: ['@anthropic-ai/sdk', /^@anthropic-ai\/sdk\//, '@copilotkit/aimock', 'pino'],
  },
})
