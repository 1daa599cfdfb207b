/** What a provider wants back with the words of its model, unchanged, and who the provider is. */
import type { ProviderMetadata } from 'ai'
import { isJson } from '@verbatim/core/agent-kit'
import type { JsonValue, ModelMetadataBlock } from '@verbatim/core'
import { tapKey } from './tap-model.ts'

/** Of one block; null where there is nothing. */
export type BlockMetadata = { readonly [provider: string]: { readonly [field: string]: JsonValue } } | null

/** Who answers, and after what. */
export type CallIdentity = Pick<ModelMetadataBlock, 'provider' | 'model' | 'boundTo'>

/** `metadata` beside what is known already, without what only this process needs. What is no JSON cannot be kept. */
export function toMetadata(metadata: ProviderMetadata | undefined, known: BlockMetadata = null): BlockMetadata {
  const entries = Object.entries(withoutTap(metadata)).filter(([, fields]) => isFields(fields))
  if (entries.length === 0) return known
  const merged = entries.map(([provider, fields]) => [provider, { ...known?.[provider], ...fields }])
  return { ...known, ...(Object.fromEntries(merged) as NonNullable<BlockMetadata>) } // checked above
}

function withoutTap(metadata: ProviderMetadata = {}): ProviderMetadata {
  const { [tapKey]: _tapped, ...rest } = metadata
  return rest
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
