/** Which words of a code have which color. */
import type { RootContent } from 'hast'
import { common, createLowlight } from 'lowlight'
import type { Scope, Token } from './token.ts'

const lowlight = createLowlight(common)

/** The colors of what highlight.js finds. */
const scopes: Readonly<Record<string, Scope>> = {
  keyword: 'keyword',
  'selector-tag': 'keyword',
  name: 'keyword',
  operator: 'keyword',
  string: 'string',
  regexp: 'string',
  symbol: 'string',
  addition: 'string',
  number: 'number',
  literal: 'number',
  deletion: 'deletion',
  comment: 'comment',
  quote: 'comment',
  meta: 'comment',
  title: 'title',
  section: 'title',
  built_in: 'type',
  type: 'type',
  attr: 'attribute',
  attribute: 'attribute',
  property: 'attribute',
  variable: 'attribute',
  'template-variable': 'attribute',
  'selector-class': 'attribute',
  'selector-id': 'attribute',
}

export interface Code {
  readonly language: string
  readonly code: string
}

/** In the order of the code, none over another; none for a language that is not known. */
export function tokensOfCode({ language, code }: Code): Token[] {
  const name = language.toLowerCase()
  if (!lowlight.registered(name)) return []
  const tokens: Token[] = []
  let at = 0
  const visit = (node: RootContent, scope: Scope | undefined): void => {
    if (node.type === 'text') {
      if (scope !== undefined) tokens.push({ scope, start: at, end: at + node.value.length })
      at += node.value.length
    } else if (node.type === 'element') {
      for (const child of node.children) visit(child, scopeOf(node.properties['className']) ?? scope)
    }
  }
  for (const child of lowlight.highlight(name, code).children) visit(child, undefined)
  return tokens
}

function scopeOf(className: unknown): Scope | undefined {
  const [first] = Array.isArray(className) ? className : []
  return typeof first === 'string' ? scopes[first.replace(/^hljs-/, '')] : undefined
}
