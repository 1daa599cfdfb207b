import { describe, expect, test } from 'vitest'
import { refusalOfForeign } from './guard-local.ts'

describe('the guard of a server without tokens', () => {
  test.each([
    { host: '127.0.0.1:8787' },
    { host: 'localhost:8787' },
    { host: 'LOCALHOST' },
    { host: '[::1]:8787' },
    { host: 'localhost:8787', origin: 'http://localhost:8787' },
    { host: '127.0.0.1:5173', origin: 'http://127.0.0.1:5173' },
  ])('without tokens the server lets host $host with origin $origin in', (headers) => {
    expect(refusalOfForeign({ headers })).toBeUndefined()
  })

  test.each([
    { host: 'evil.example' },
    { host: 'evil.example:8787' },
    { host: '127.0.0.1.evil.example:8787' },
    { host: 'localhost.evil.example' },
    { host: '10.0.0.7:8787' },
    {},
  ])('without tokens the server refuses the host $host, which an attacker could point at it', (headers) => {
    expect(refusalOfForeign({ headers })).toContain('localhost only')
  })

  test.each(['https://evil.example', 'http://localhost:3000', 'http://127.0.0.1:8787', 'null', 'file://', ''])(
    'without tokens the server refuses a page of the origin %j',
    (origin) => {
      expect(refusalOfForeign({ headers: { host: 'localhost:8787', origin } })).toContain('another origin')
    },
  )

  test('without tokens the server lets the pages of a listed origin in, and no others', () => {
    const origins = ['http://localhost:3000']
    const from = (origin: string) => refusalOfForeign({ headers: { host: 'localhost:8787', origin } }, origins)
    expect(from('http://localhost:3000')).toBeUndefined()
    expect(from('http://localhost:3001')).toContain('another origin')
    expect(from('https://localhost:3000')).toContain('another origin')
    const rebound = { host: 'evil.example:8787', origin: 'http://localhost:3000' }
    expect(refusalOfForeign({ headers: rebound }, origins)).toContain('localhost only')
  })
})
