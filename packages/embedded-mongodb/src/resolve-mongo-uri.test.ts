import { expect, test } from 'vitest'
import { resolveMongoUri } from './resolve-mongo-uri.ts'

test('with MONGODB_URI set, no server starts or stops', async () => {
  await using mongo = await resolveMongoUri({ env: { MONGODB_URI: 'mongodb://db.example/?replicaSet=rs' } })
  expect(mongo).toMatchObject({ uri: 'mongodb://db.example/?replicaSet=rs' })
})

test('a MONGOMS_SYSTEM_BINARY that does not run is an error, and the search ends there', async () => {
  await expect(resolveMongoUri({ env: { MONGOMS_SYSTEM_BINARY: '/nowhere/mongod' } })).rejects.toThrow(
    'MONGOMS_SYSTEM_BINARY names /nowhere/mongod, which does not run',
  )
})
