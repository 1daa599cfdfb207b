import { expect, test } from 'vitest'
import { resolveMongoUri } from './resolve-mongo-uri.ts'

test('MONGODB_URI is used as it is, and nothing is started or stopped', async () => {
  await using mongo = await resolveMongoUri({ env: { MONGODB_URI: 'mongodb://db.example/?replicaSet=rs' } })
  expect(mongo).toMatchObject({ uri: 'mongodb://db.example/?replicaSet=rs', origin: 'given' })
})

test('a binary that does not run is an error, not a reason to look elsewhere', async () => {
  await expect(resolveMongoUri({ env: { MONGOMS_SYSTEM_BINARY: '/nowhere/mongod' } })).rejects.toThrow(
    'MONGOMS_SYSTEM_BINARY names /nowhere/mongod, which does not run',
  )
})
