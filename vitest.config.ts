import { defineConfig } from 'vitest/config'
import { ci, reportFile } from './tests/support/env.ts'

// Our packages resolve to their src: no build comes before a test run.
const condition = 'verbatim-source'

export default defineConfig({
  resolve: { conditions: [condition] },
  ssr: { resolve: { conditions: [condition, 'node'], externalConditions: [condition] } },
  // Vitest loads the global set-up in an environment of its own.
  environments: { __vitest__: { resolve: { conditions: [condition, 'node'], externalConditions: [condition] } } },
  test: {
    include: ['packages/*/src/**/*.test.{ts,tsx}', 'apps/*/src/**/*.test.{ts,tsx}', 'tests/**/*.test.{ts,tsx}'],
    globalSetup: ['tests/support/global-setup.ts'],
    // The default leaves one of two cores to Vitest itself. Most tests wait for MongoDB, timers or sockets, so two share them well.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Vitest's own second is over before a busy machine has answered; what waits so long has failed.
    expect: { poll: { timeout: 20_000 } },
    reporters: [ci ? 'dot' : 'default', ...(reportFile === undefined ? [] : ['json'])],
    outputFile: reportFile === undefined ? {} : { json: reportFile },
  },
})
