import type { RunningServer } from './start-server.ts'

/** What a person needs to know, and no more. */
export function announce({ url, config, place }: RunningServer): string {
  const { model, isDemo, switchCommand } = config
  const answers = isDemo ? `a demo model, its words are canned. For Claude: ${switchCommand}` : model
  return [
    `Verbatim is ready: open ${url}`,
    `  Answers  ${answers}`,
    `  Data     ${place}`,
    '  Stop     Ctrl-C',
    '',
  ].join('\n')
}
