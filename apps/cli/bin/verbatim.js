#!/usr/bin/env node
// Installing links this file under the command's name, and that comes before the build makes the program.
import { existsSync } from 'node:fs'

const program = new URL('../dist/main.js', import.meta.url)
if (existsSync(program)) {
  await import(program.href)
} else {
  process.stderr.write('The command is not built yet; `npm start` builds it.\n')
  process.exitCode = 1
}
