/** A fault that an engine could have, and the scenario that must fail with it. */

export interface Edit {
  readonly file: string
  /** A pattern (without groups) where only a part of the text matters. */
  readonly from: string | RegExp
  readonly to: string
}

export interface Mutant {
  readonly name: string
  readonly what: string
  readonly edits: readonly Edit[]
  readonly fault: string
  /** How servers learn of what the others write. @default change streams */
  readonly mode?: '--without-change-streams' | '--peer-hints'
}
