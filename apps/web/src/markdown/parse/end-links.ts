/**
 * Bare links end at full-width punctuation. GFM takes everything up to a space for the address, and Chinese and Japanese put no
 * space after a link: https://example.com，然后 would lead nowhere.
 */
import type { Link, Root, Text } from 'mdast'
import { SKIP, visit } from 'unist-util-visit'

const fullWidth = /[\u3000-\u303F\u2018-\u201D\u2026\uFF01-\uFF0F\uFF1A-\uFF20\uFF3B-\uFF40\uFF5B-\uFF65]/

/** A remark plugin; it comes after the one that finds the links. */
export function endLinks() {
  return (tree: Root) => {
    visit(tree, 'link', (link, index, parent) => {
      if (parent === undefined || index === undefined) return
      const text = textOfBareLink(link)
      const end = text?.search(fullWidth) ?? -1
      if (text === undefined || end < 1) return
      const parts = [linkTo(link, text.slice(0, end)), ...findLinks(text.slice(end))]
      parent.children.splice(index, 1, ...parts)
      return [SKIP, index + parts.length]
    })
  }
}

/** The text of a link that is its own address; undefined for a link with words of its own. */
function textOfBareLink({ url, children }: Link): string | undefined {
  const [only] = children
  if (children.length !== 1 || only?.type !== 'text') return undefined
  return url === only.value || url === `http://${only.value}` ? only.value : undefined
}

function linkTo(link: Link, text: string): Link {
  const scheme = link.url.startsWith('http://') && !/^https?:/.test(text) ? 'http://' : ''
  return { ...link, url: scheme + text, children: [{ type: 'text', value: text }] }
}

/** What was taken for the rest of the address may hold further links. */
function findLinks(text: string): (Link | Text)[] {
  const parts: (Link | Text)[] = []
  let end = 0
  for (const { 0: url, index } of text.matchAll(new RegExp(`https?://(?:(?!${fullWidth.source})\\S)+`, 'g'))) {
    parts.push({ type: 'text', value: text.slice(end, index) })
    parts.push({ type: 'link', url, children: [{ type: 'text', value: url }] })
    end = index + url.length
  }
  return [...parts, { type: 'text', value: text.slice(end) }]
}
