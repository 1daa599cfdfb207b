/** Tools that fail as their names say. Each records its calls, so that the checker sees a second one. */
import { setTimeout as sleep } from 'node:timers/promises'
import { tool } from '@verbatim/core/claude'
import type { Tool, ToolContext } from '@verbatim/core/claude'
import type { Db } from 'mongodb'
import { z } from 'zod'
import type { ToolFault } from '../prompt.ts'

/** Of the agent, in milliseconds. */
export const toolTimeoutMs = 2_000

/** So slow that even a late kill comes while the tool runs, in milliseconds. */
const slowMs = 25_000
/** Of the agent whose process dies while its tool runs, in milliseconds. */
export const slowToolTimeoutMs = 30_000

const behaviours: Readonly<Record<ToolFault, (signal: AbortSignal) => Promise<string> | string>> = {
  'tool-throws': () => {
    throw new Error('The tool is broken')
  },
  'tool-late': async (signal) => await sleep(60_000, 'too late', { signal }),
  'tool-huge': () => 'x'.repeat(300 * 1024),
  'tool-lost': async (signal) => await sleep(slowMs, 'not lost', { signal }),
}

export function createTools(db: Db): Tool[] {
  return Object.entries(behaviours).map(([name, behave]) =>
    tool({
      name,
      description: `Fails: ${name}`,
      input: z.object({ run: z.string() }),
      async run({ run }, { runId, signal, emit }: ToolContext) {
        await db.collection('tool_calls').insertOne({ run, by: runId, name })
        await emit('tool', { name }, { id: run })
        return await behave(signal)
      },
    }),
  )
}
