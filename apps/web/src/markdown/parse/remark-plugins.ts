/** How answers are read, by the page and by the worker for long parts. */
import type { Options } from 'react-markdown'
import remarkBreaks from 'remark-breaks'
import remarkCjkFriendly from 'remark-cjk-friendly'
import remarkGfm from 'remark-gfm'
import remarkMath from 'remark-math'
import { endLinks } from './end-links.ts'

/** One tilde is a range in Chinese and Japanese (100~200), so only two strike out; a single newline is shown as it was written. */
export const remarkPlugins: NonNullable<Options['remarkPlugins']> = [
  [remarkGfm, { singleTilde: false }],
  remarkCjkFriendly,
  [remarkMath, { singleDollarTextMath: false }],
  remarkBreaks,
  endLinks,
]
