import { expect, it } from 'vitest'
import { collectionPlans } from '../schema/collection-plans.ts'
import { holdings } from './holdings.ts'

/** The names of the collections, as `collectionsOf` spells its keys. */
function keyOf(name: string): string {
  return name.replaceAll(/[_.](.)/g, (_match, letter: string) => letter.toUpperCase())
}

it('The list of what a principal has names every collection, so that no export or erasure leaves one out', () => {
  const planned = collectionPlans.map(({ name }) => keyOf(name))
  expect(Object.keys(holdings).toSorted()).toEqual(planned.toSorted())
})
