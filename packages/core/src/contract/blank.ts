/** White space, control and format characters, and letters that are drawn as nothing. */
const invisible = /^[\s\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}\u2800]*$/u

/** Tells whether a reader sees nothing of `text`: a provider refuses it, and it is no answer. */
export function isBlank(text: string): boolean {
  return invisible.test(text)
}
