import type { Root } from 'hast'
import { startTransition, useEffect, useRef, useState } from 'react'
import { createAsk } from './ask-worker.ts'
import { useWithDefinitions } from './definitions.ts'
import { Parsed, Tree } from './parsed.tsx'
import { PlainText } from './plain-text.tsx'

const parse = createAsk<string, Root>(
  () => new Worker(new URL('./parse/parse-worker.ts', import.meta.url), { type: 'module' }),
)

/** The worker pauses this many times as long as it has parsed: a part that grows is parsed again and again. */
const pauseFactor = 4

interface LongPartProps {
  readonly source: string
  readonly isGrowing: boolean
}

/** A long part that cannot be cut. A worker parses it; what has come since, and all before the first time, is shown as it was written. */
export function LongPart({ source, isGrowing }: LongPartProps) {
  const { parsed, hasFailed } = useParsed(isGrowing ? wholeLines(source) : source)
  if (hasFailed && !isGrowing) return <Parsed source={source} />
  const rest = source.slice(parsed?.source.length ?? 0)
  return (
    <>
      {parsed !== undefined && <Tree tree={parsed.tree} />}
      {rest.trim() !== '' && <PlainText source={rest} />}
    </>
  )
}

function wholeLines(source: string): string {
  return source.slice(0, source.lastIndexOf('\n') + 1)
}

interface ParsedPart {
  readonly source: string
  readonly tree: Root
}

interface Asked {
  readonly source: string
  /** With the definitions that it names. */
  readonly text: string
}

/** The newest tree that the worker has made. */
function useParsed(source: string): { readonly parsed: ParsedPart | undefined; readonly hasFailed: boolean } {
  const [parsed, setParsed] = useState<ParsedPart>()
  const [hasFailed, setFailed] = useState(false)
  const text = useWithDefinitions(source)
  const newest = useRef<Asked>(undefined)
  const isAsking = useRef(false)
  useEffect(() => {
    newest.current = { source, text }
    if (!isAsking.current) void ask()
    async function ask(): Promise<void> {
      isAsking.current = true
      try {
        for (
          let asked = newest.current;
          asked !== undefined;
          asked = newest.current === asked ? undefined : newest.current
        ) {
          const began = performance.now()
          const tree = await parse(asked.text)
          const made = { source: asked.source, tree }
          // Drawn in slices, between which keys are taken.
          startTransition(() => setParsed(made))
          await pause(pauseFactor * (performance.now() - began))
        }
      } catch {
        setFailed(true)
      } finally {
        isAsking.current = false
      }
    }
  }, [source, text])
  useEffect(() => () => void (newest.current = undefined), [])
  return { parsed, hasFailed }
}

async function pause(pauseMs: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, pauseMs))
}
