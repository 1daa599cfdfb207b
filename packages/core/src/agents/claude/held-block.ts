import type { JsonValue } from '../../contract/json-value.ts'
import { faultOfProviderBlock, isTypedJson, ProviderBlock } from '../../contract/provider-block.ts'
import { readToolInput } from '../../contract/tool-input.ts'
import { malformed } from './map-provider-error.ts'

type JsonObject = { readonly [field: string]: JsonValue }

/** More than an answer may have: the parts of a block that never ends must not fill the memory. */
const maxChars = 16_000_000

/**
 * A block that is sent whole, put together from what the provider streams of it. The deltas may be of kinds that this version does not
 * know. All that the protocol has so far add to the field of their own name, but for two.
 */
export class HeldBlock {
  #block: JsonObject
  #inputJson = ''
  #chars = 0
  /** True while there is something that {@link HeldBlock.take} has not answered yet. */
  hasNews = true

  constructor(start: JsonObject) {
    this.#block = start
  }

  /** @throws VerbatimError `PROVIDER_ERROR` (malformed) for a block without end */
  add(delta: JsonObject): void {
    this.#chars += JSON.stringify(delta).length
    if (this.#chars > maxChars) throw malformed('content_block_delta')
    this.hasNews = true
    const { type, ...fields } = delta
    const { partial_json } = fields
    if (type === 'input_json_delta') this.#inputJson += typeof partial_json === 'string' ? partial_json : ''
    else if (type === 'citations_delta') this.#set('citations', [fields['citation'] ?? null])
    else for (const [name, value] of Object.entries(fields)) this.#set(name, value)
  }

  /** The block so far. @throws VerbatimError `PROVIDER_ERROR` (malformed) when it lacks what its type must have */
  take(): ProviderBlock {
    this.hasNews = false
    const input = this.#inputJson === '' ? {} : { input: readToolInput(this.#inputJson).input }
    const block = { ...this.#block, ...input }
    const fault = isTypedJson(block) ? faultOfProviderBlock(block) : 'type'
    if (fault !== undefined) throw malformed(`content_block_start.content_block.${fault}`)
    return ProviderBlock.parse(block)
  }

  /** In a new object: a computed key defines `__proto__` like any other. */
  #set(name: string, value: JsonValue): void {
    this.#block = { ...this.#block, [name]: joined(this.#block[name], value) }
  }
}

function joined(before: JsonValue | undefined, value: JsonValue): JsonValue {
  if (typeof before === 'string' && typeof value === 'string') return before + value
  return Array.isArray(before) && Array.isArray(value) ? [...before, ...value] : value
}
