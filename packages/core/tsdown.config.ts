import { defineConfig } from 'tsdown'
import { pureSchemas } from './pure-schemas.ts'

// One file out for one file in: "." stays free of Node because the contract is (lint holds that), and no class exists twice.
export default defineConfig({
  tsconfig: 'tsconfig.build.json',
  entry: [
    'src/index.ts',
    'src/server.ts',
    'src/mongodb/index.ts',
    'src/s3/index.ts',
    'src/opentelemetry/index.ts',
    'src/peers/peer-hints.ts',
    'src/agents/agent.ts',
    'src/agents/agent-kit.ts',
    'src/agents/claude.ts',
    'src/testing/index.ts',
  ],
  platform: 'node',
  plugins: [pureSchemas],
  unbundle: true,
  fixedExtension: false,
  dts: true,
  sourcemap: true,
})
