/** A team's tRPC root may encode what travels (superjson, devalue). The client then encodes and decodes in the same way. */

/** What encodes values, as tRPC's `transformer` does. */
interface DataTransformer {
  serialize(value: unknown): unknown
  deserialize(value: unknown): unknown
}

/** What the `transformer` of a tRPC root may be: one for both directions, or one for each. */
export type TransformerOption = DataTransformer | { readonly input: DataTransformer; readonly output: DataTransformer }

/** Both directions, as the client needs them. */
export interface Transformer {
  /** An input, for the server. */
  readonly encode: (input: unknown) => unknown
  /** An output or an error, from the server. */
  readonly decode: (output: unknown) => unknown
}

export function toTransformer(option: TransformerOption | undefined): Transformer {
  if (option === undefined) return { encode: (input) => input, decode: (output) => output }
  const { input, output } = 'input' in option ? option : { input: option, output: option }
  return { encode: (value) => input.serialize(value), decode: (value) => output.deserialize(value) }
}
