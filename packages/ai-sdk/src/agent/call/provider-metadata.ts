/** What a provider wants back with the words of its model, unchanged, and who the provider is. */
import type { ProviderMetadata } from 'ai'
import { isJson } from '@verbatim/core/agent-kit'
import type { JsonValue, ModelMetadataBlock } from '@verbatim/core'
import { tapKey } from './tap-model.ts'

/** Of one block; null where there is nothing. */
export type BlockMetadata = { readonly [provider: string]: { readonly [field: string]: JsonValue } } | null

/** Who answers, and after what. */
export type CallIdentity = Pick<ModelMetadataBlock, 'provider' | 'model' | 'boundTo'>

/** `metadata` beside what is known already, without what only this process needs. A field that is no JSON cannot be kept. */
export function toMetadata(metadata: ProviderMetadata | undefined, known: BlockMetadata = null): BlockMetadata {
  const { [tapKey]: _tapped, ...given } = metadata ?? {}
  const kept = Object.entries(given).map(([provider, fields]) => [provider, toFields(fields)] as const)
  const merged = kept
    .filter(([, fields]) => Object.keys(fields).length > 0)
    .map(([provider, fields]) => [provider, { ...known?.[provider], ...fields }])
  return merged.length === 0 ? known : { ...known, ...Object.fromEntries(merged) }
}

function toFields(fields: object): { readonly [field: string]: JsonValue } {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => {
      const json = toJson(value)
      return json === undefined ? [] : [[name, json]]
    }),
  )
}

/** `value` as the provider gets it back, which is by JSON. */
function toJson(value: unknown): JsonValue | undefined {
  try {
    const json: unknown = JSON.parse(JSON.stringify(value) ?? 'null')
    return isJson(json) && value !== undefined ? json : undefined
  } catch {
    return undefined // a circle, or a number that JSON has not
  }
}

function isFields(fields: unknown): boolean {
  return typeof fields === 'object' && fields !== null && Object.keys(fields).length > 0 && isJson(fields)
}

/** The metadata of each of the `count` blocks of a call; undefined when `block` is not of this model, or not of what was asked here. */
export function metadataFor(
  { provider, model, boundTo, blocks }: ModelMetadataBlock,
  identity: CallIdentity,
  count: number,
): readonly BlockMetadata[] | undefined {
  const isSame = provider === identity.provider && model === identity.model && boundTo === identity.boundTo
  if (!isSame || !Array.isArray(blocks) || blocks.length !== count) return undefined
  return blocks.map((one) => (isMetadata(one) ? one : null))
}

function isMetadata(value: JsonValue): value is NonNullable<BlockMetadata> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(isFields)
}
