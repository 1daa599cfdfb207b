/** Imported before a test file, it opens that file's databases with encryption on: the same promises hold for sealed content. */
import { afterAll } from 'vitest'
import { usual } from './engine.ts'
import { openTestKeys } from './keys.ts'

const keys = await openTestKeys()
usual.encryption = { keys: keys.keys }

afterAll(async () => {
  usual.encryption = undefined
  await keys[Symbol.asyncDispose]()
})
