/** Are the images of prompts there, byte for byte, and does all that is stored of files belong to one? */
import { downloadOnce, untilAnswered } from '../clients/raw-calls.ts'
import { imageOf } from '../image.ts'
import type { RunEvidence } from '../plan/evidence.ts'
import type { World } from '../world/world.ts'
import { hasStarted } from './parts.ts'
import type { Part } from './parts.ts'

const downloadWithinMs = 20_000

/** An upload that a server confirmed, through every server. */
export async function checkImage(world: World, run: RunEvidence, [first]: readonly Part[]): Promise<string[]> {
  const { imageId } = run.turn.prompt
  // The image of a prompt that left the queue goes with it.
  if (imageId === null || !run.isUploaded || (first !== undefined && !hasStarted(first))) return []
  const found = await Promise.all(
    world.servers.map(async ({ front }, at) => {
      const over = AbortSignal.timeout(downloadWithinMs)
      const answer = await untilAnswered(over, async () => await downloadOnce(front, imageId))
      if (answer.type !== 'data') return [`server ${at} does not give its image: ${JSON.stringify(answer)}`]
      return imageOf(imageId).equals(answer.data) ? [] : [`server ${at} gives another image`]
    }),
  )
  return found.flat()
}

/** Whatever dies in the middle of an upload or of a removal, one document names the bytes. */
export async function checkBytes({ mongo, db }: World): Promise<string[]> {
  return await mongo.client.withSession({ snapshot: true }, async (session) => {
    const read = async (name: string, field: string) => await db.collection(name).distinct(field, {}, { session })
    const named = new Set([...(await read('attachments', 'bytes')), ...(await read('loose_bytes', '_id'))])
    const stored = [
      ...(await read('attachment_bytes.files', '_id')),
      ...(await read('attachment_bytes.chunks', 'files_id')),
    ]
    return [...new Set(stored)].filter((key) => !named.has(key)).map((key) => `no document names the bytes ${key}`)
  })
}
