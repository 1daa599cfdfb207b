import { expect, test } from 'vitest'
import { toDollarMath } from './dollar-math.ts'

test.each([
  ['Energy is $E = mc^2$ here', 'Energy is $$E = mc^2$$ here'],
  [String.raw`So \(a_1 * b_1\) and \(c\)`, 'So $$a_1 * b_1$$ and $$c$$'],
  [String.raw`\[ x^2 \]`, '$$\nx^2\n$$'],
  ['It is\n$$x^2$$\nso', 'It is\n$$\nx^2\n$$\nso'],
  ['- item\n\n  $$x^2$$ ', '- item\n\n  $$\n  x^2\n  $$ '],
  [String.raw`- \[ x^2 \]`, '- $$x^2$$'],
  ['Here $$x^2$$ is within', 'Here $$x^2$$ is within'],
  ['\\[\nx^2\n\\]', '$$\nx^2\n$$'],
  ['$$\nx^2\n$$', '$$\nx^2\n$$'],
  ['$x$, $y$ and $z$.', '$$x$$, $$y$$ and $$z$$.'],
])('The formulas of %j are found', (source, expected) => {
  expect(toDollarMath(source)).toBe(expected)
})

test.each([
  'It costs $5 and $6, or US$7',
  'from $5-$6 a day',
  'set $HOME/$USER first',
  String.raw`a \$5 note and \$6`,
  'the code `$x$` and `\\(y\\)`',
  '```sh\necho $x$ \\(y\\)\n```',
  '```sh\necho $x$ and no end',
  '``a ` $x$``',
])('%j has no formula', (source) => {
  expect(toDollarMath(source)).toBe(source)
})
