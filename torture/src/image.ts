/** The bytes of an image are a pure function of its id: who receives them knows whether they are the sent ones. */
import { createRandom } from './random.ts'

/** A real PNG of one pixel; readers of images pass over what stands after its end. */
const pixel = Buffer.from(
  '89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cfc000000301010018dd8db00000000049454e44ae426082',
  'hex',
)

/** From one pixel to more than one chunk of the store. */
const paddings = [0, 2_000, 2_000, 300_000] as const

export function imageOf(id: string): Buffer<ArrayBuffer> {
  const random = createRandom(`image/${id}`)
  const padding = Uint8Array.from({ length: random.pick(paddings) }, () => random.int(0, 255))
  return Buffer.concat([pixel, padding])
}
