/** The types of agents, for clients that know which agents their server has. */

/** An output while it is made: at each depth fields may be missing, and so may the last items of arrays. */
export type PartialOutput<TOutput> = TOutput extends readonly (infer TItem)[]
  ? PartialOutput<TItem>[]
  : TOutput extends object
    ? { [TKey in keyof TOutput]?: PartialOutput<TOutput[TKey]> }
    : TOutput
