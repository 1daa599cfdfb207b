/** What the command reads from the environment: here, and nowhere else. Set to nothing counts as not set. */
const read = (name: string): string | undefined => process.env[name] || undefined

/** Where the server is, unless `--url` says. */
export const defaultUrl = read('VERBATIM_URL') ?? 'http://127.0.0.1:8787'

/** The bearer token, unless `--token` says: what is on a command line, others on the machine can see. */
export const defaultToken = read('VERBATIM_TOKEN')

/** How a person types this command: `npx verbatim`, by npm's script, or as it is when it is on the PATH. */
export const commandName = nameOf(read('npm_lifecycle_event'), read('npm_command'))

function nameOf(script: string | undefined, npmCommand: string | undefined): string {
  if (script === 'verbatim') return 'npm run -s verbatim --'
  return npmCommand === 'exec' ? 'npx verbatim' : 'verbatim'
}

/** No colour, please (no-color.org), or a terminal that has none. */
export const isPlain = read('NO_COLOR') !== undefined || read('TERM') === 'dumb'
