import type { Attack } from './attack.ts'
import { bodyAttacks } from './body-attacks.ts'
import { floodAttacks } from './flood-attacks.ts'
import { socketAttacks } from './socket-attacks.ts'

/** Everything that the hostile caller tries, in order. */
export const attacks: readonly Attack[] = [...bodyAttacks, ...floodAttacks, ...socketAttacks]
