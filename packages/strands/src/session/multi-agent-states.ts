/** The state of Graphs and Swarms, as Strands' own session manager stores it: one state of the session for each orchestrator. */
import type { Snapshot, SnapshotStorage } from '@strands-agents/sdk'
import { VerbatimError } from '@verbatim/core'
import type { JsonValue } from '@verbatim/core'
import type { SessionWriter } from './session-writer.ts'

type Location = Parameters<SnapshotStorage['loadSnapshot']>[0]['location']

/** Each save replaces the state that this process has read or saved before; another process that was first is not overwritten. */
export function createMultiAgentStates(writer: SessionWriter): SnapshotStorage {
  const revisions = new Map<string, number>()
  const { session } = writer
  return {
    async saveSnapshot({ location, isLatest, snapshot }) {
      if (!isLatest) throw noCheckpoints()
      const name = nameOf(location)
      // Nodes of a graph end side by side.
      await writer.inTurn(async () => {
        const state: JsonValue = JSON.parse(JSON.stringify(snapshot))
        const { revision } = await session.writeState(name, { state, expectedRevision: revisions.get(name) ?? 0 })
        revisions.set(name, revision)
      })
    },
    async loadSnapshot({ location }) {
      const name = nameOf(location)
      const found = await session.readState(name)
      revisions.set(name, found?.revision ?? 0)
      return found === null ? null : (found.state as unknown as Snapshot) // stored by saveSnapshot
    },
    listSnapshotIds: () => Promise.resolve([]),
    deleteSession: async () => void (await session.delete()),
    loadManifest: () => Promise.reject(noCheckpoints()),
    saveManifest: () => Promise.reject(noCheckpoints()),
  }
}

/** The transcript has every message, so there is no copy of it for each point in time. */
export function noCheckpoints(): VerbatimError {
  return new VerbatimError(
    'INVALID_CONFIGURATION',
    'StrandsSession keeps the newest state and every message; save with isLatest: true',
  )
}

function nameOf({ scope, scopeId }: Location): string {
  return `strands/${scope}/${scopeId}`
}
