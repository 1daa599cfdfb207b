/**
 * What a page does not use of the contract must not stay in it, least of all zod. A bundler drops a value only when it knows that
 * making it has no effect, so this plugin says so of every value of the contract that calls make: they are schemas and tables.
 */
import type { Rolldown } from 'tsdown'

export const pureSchemas: Rolldown.Plugin = {
  name: 'pure-schemas',
  transform: {
    filter: { id: /src\/contract\/[^/]+\.ts$/ },
    handler(code) {
      // From the end, so that the places before it stay true. All stays in its line, so the map of the file still holds.
      const made = valuesMadeByCalls(this.parse(code, { lang: 'ts' })).toReversed()
      return { code: made.reduce(markPure, code), map: null }
    },
  },
}

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
}

function markPure(code: string, { start, end }: Node): string {
  return `${code.slice(0, start)}/* @__PURE__ */ (() => (${code.slice(start, end)}))()${code.slice(end)}`
}

/** The values of the module's own constants, in their order. */
function valuesMadeByCalls(program: Rolldown.ESTree.Program): Node[] {
  const statements = program.body.map((node) =>
    node.type === 'ExportNamedDeclaration' ? (node.declaration ?? node) : node,
  )
  const declared = statements.flatMap((node) => (node.type === 'VariableDeclaration' ? node.declarations : []))
  return declared.flatMap(({ init }) => (init !== null && mayHaveEffect(init) ? [init] : []))
}

/** True when a call runs while the module is loaded, or a value becomes text. */
function mayHaveEffect(node: unknown): boolean {
  if (typeof node !== 'object' || node === null) return false
  const { type } = node as { readonly type?: unknown } // a node of ESTree, or a list of them
  if (typeof type === 'string' && /Function|Class/.test(type)) return false
  return type === 'CallExpression' || type === 'TemplateLiteral' || Object.values(node).some(mayHaveEffect)
}
