import { z } from 'zod'
import { allowed, broken, extremes, marker } from './extremes.ts'
import type { Extreme } from './extremes.ts'
import { hole, placesOf, sampleOf } from './sample-input.ts'
import type { JsonSchema } from './sample-input.ts'

/** What is read of a tRPC router. */
export interface HostileRouter {
  readonly _def: { readonly procedures: object }
}

export interface HostileOptions {
  /** The size of each body; what the server takes at most. */
  readonly maxBodyBytes: number
  /** Of a query's input, which is in the URL. @default 4_000 characters before their encoding */
  readonly maxQueryBytes?: number
  /** @default "/trpc" */
  readonly trpcPath?: string
  /** Calls of one batch. @default 20 */
  readonly maxBatchSize?: number
}

/** One call. Its target and body are made when it is sent, since they are large. */
export interface HostileCall {
  /** The procedure or endpoint, the field, and what stands there. */
  readonly name: string
  /** The procedure's name, or the endpoint's path. */
  readonly target: string
  readonly make: () => { readonly path: string; readonly init: RequestInit & { readonly method: string } }
}

interface Procedure {
  readonly _def: { readonly type: string; readonly inputs: readonly z.ZodType[] }
}

/** A call for each field of each procedure and each extreme value, and batches of them. */
export function* hostileCalls(router: HostileRouter, options: HostileOptions): Generator<HostileCall, void, void> {
  const { trpcPath = '/trpc', maxBatchSize = 20, maxBodyBytes, maxQueryBytes = 4_000 } = options
  for (const [target, { _def }] of Object.entries(router._def.procedures as Record<string, Procedure>)) {
    const schema = schemaOf(_def.inputs)
    const isBody = _def.type === 'mutation'
    const bytes = isBody ? maxBodyBytes : maxQueryBytes
    for (const { name, text } of inputsOf(schema, bytes)) {
      yield {
        name: `${target}${name}`,
        target,
        make: () => (isBody ? post(`${trpcPath}/${target}`, text(bytes)) : get(`${trpcPath}/${target}`, text(bytes))),
      }
    }
    if (!isBody) continue // a URL is too short for a batch that is worse than its calls
    const path = `${trpcPath}/${Array.from({ length: maxBatchSize }, () => target).join(',')}?batch=1`
    const share = Math.floor(bytes / maxBatchSize) - 8
    for (const { name, text } of inputsOf(schema, share)) {
      const batch = () => `{${Array.from({ length: maxBatchSize }, (_, at) => `"${at}":${text(share)}`).join(',')}}`
      yield { name: `${target} x ${maxBatchSize}${name}`, target, make: () => post(path, batch()) }
    }
  }
  yield* namesOf(trpcPath)
}

/** A call for each field of an endpoint's body and each extreme value. */
export function* plainCalls(
  target: string,
  schema: z.ZodType,
  { maxBodyBytes }: HostileOptions,
): Generator<HostileCall, void, void> {
  for (const { name, text } of inputsOf(toJson(schema), maxBodyBytes)) {
    yield { name: `${target}${name}`, target, make: () => post(target, text(maxBodyBytes)) }
  }
}

/** Procedures that do not exist, and batches that are none. */
function* namesOf(trpcPath: string): Generator<HostileCall, void, void> {
  const names = [marker, `${marker}.get`, `sessions.${marker}`, `__proto__.${marker}`, `${marker},${marker}?batch=1`]
  names.push(`${Array.from({ length: 1_000 }, () => 'sessions.get').join(',')}?batch=1&input={"${marker}":1}`)
  for (const name of names) {
    const path = `${trpcPath}/${name}`
    yield { name: `the procedure ${name.slice(0, 40)}`, target: '(unknown)', make: () => post(path, `{"${marker}":1}`) }
    yield {
      name: `the query ${name.slice(0, 40)}`,
      target: '(unknown)',
      make: () => ({ path, init: { method: 'GET' } }),
    }
  }
}

interface HostileInput {
  readonly name: string
  readonly text: (bytes: number) => string
}

function* inputsOf(schema: JsonSchema, maxBytes: number): Generator<HostileInput, void, void> {
  for (const place of placesOf(schema)) {
    const around = JSON.stringify(place.input)
    const cut = around.indexOf(`"${hole}"`)
    const [before, after] = [around.slice(0, cut), around.slice(cut + hole.length + 2)]
    for (const { name, make } of [...extremes, ...allowed]) {
      yield {
        name: ` ${place.name === '' ? 'as a whole' : place.name}: ${name}`,
        text: (bytes) => before + make(Math.max(1, bytes - before.length - after.length - 64)) + after,
      }
    }
  }
  for (const { name, make } of broken)
    yield { name: ` as a whole: ${name}`, text: () => made({ name, make }, maxBytes) }
  yield { name: ': its sample', text: () => JSON.stringify(sampleOf(schema)) }
}

function made({ make }: Extreme, bytes: number): string {
  return make(Math.max(1, bytes - 64))
}

function schemaOf(inputs: readonly z.ZodType[]): JsonSchema {
  const [first] = inputs
  return first === undefined ? { type: 'object' } : toJson(first)
}

/** A schema that JSON cannot describe may be any value. */
function toJson(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { unrepresentable: 'any', io: 'output', reused: 'inline' }) as JsonSchema
}

function post(path: string, body: string) {
  return { path, init: { method: 'POST', headers: { 'content-type': 'application/json' }, body } }
}

function get(path: string, input: string) {
  return { path: `${path}?input=${encodeURIComponent(input)}`, init: { method: 'GET' } }
}
