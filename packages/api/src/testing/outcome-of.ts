import { WireError } from '@verbatim/core'

/** What an answer comes down to, in either form of error. */
export interface Outcome {
  readonly status: number
  readonly code: string | undefined
  readonly text: string
}

export async function outcomeOf(response: Response): Promise<Outcome> {
  const text = await response.text()
  const wire = /"(?:verbatim|error)":(\{"code":"[A-Z_]+".*?"data":\{.*?\}\})/.exec(text)?.[1]
  const code = wire === undefined ? undefined : WireError.parse(JSON.parse(wire)).code
  return { status: response.status, code, text }
}
