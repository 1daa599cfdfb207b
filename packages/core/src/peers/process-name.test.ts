import { expect, it } from 'vitest'
import { joinAddress, PeerAddress, peerOf, processIdOf, splitAddress } from './process-name.ts'

const id = '6f1c1a52-6c0f-4b8e-9f0e-0d5a4d7f3b11'

it.each([
  ['10.0.0.4:8788', '10.0.0.4', 8788],
  ['server-3.internal:1', 'server-3.internal', 1],
  ['[fd00::4]:65535', 'fd00::4', 65_535],
])('a lease names the address %s of its holder', (address, host, port) => {
  expect(PeerAddress.parse(address)).toBe(address)
  expect(splitAddress(address)).toEqual({ host, port })
  expect(joinAddress({ host, port })).toBe(address)
  expect(peerOf(processIdOf(id, address))).toEqual({ id, host, port })
})

it.each([
  '',
  'host',
  'host:',
  ':80',
  'host:65536',
  'host:80/path',
  'user@host:80',
  'a b:80',
  '-a:80',
  'host:80\n',
  '[::1:80',
])('an address %j is refused, and a lease that has it is one without an address', (address) => {
  expect(PeerAddress.safeParse(address).success).toBe(false)
  expect(peerOf(processIdOf(id, address))).toBeUndefined()
})

it('a lease of a process that gives no hints has no address', () => {
  expect(peerOf(id)).toBeUndefined()
  expect(peerOf('lost')).toBeUndefined()
})
