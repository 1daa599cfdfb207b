/** Files of a prompt: each is uploaded, and the prompt names it. */
import { openAsBlob } from 'node:fs'
import { basename } from 'node:path'
import { VerbatimError } from '@verbatim/core'
import type { Attachment, PromptInput } from '@verbatim/client'
import type { CommandContext } from './chat.ts'

/** The prompt, with the files at `paths` before its text. @throws VerbatimError */
export async function withFiles(context: CommandContext, text: string, paths: readonly string[]): Promise<PromptInput> {
  if (paths.length === 0) return text
  const blocks = []
  for (const path of paths) blocks.push(toBlock(await upload(context, path)))
  return [...blocks, { type: 'text', text }]
}

async function upload({ client, terminal }: CommandContext, path: string): Promise<Attachment> {
  const name = basename(path)
  const file = await open(path)
  terminal.aside(`Sending ${name}`)
  return await client.attachments.upload(file, { name })
}

async function open(path: string): Promise<Blob> {
  try {
    return await openAsBlob(path)
  } catch (cause) {
    throw new VerbatimError('INVALID_INPUT', `The file ${path} cannot be read`, { cause })
  }
}

function toBlock({ id, name, mediaType }: Attachment) {
  const source = { type: 'attachment', attachment_id: id } as const
  return mediaType.startsWith('image/')
    ? ({ type: 'image', source, alt: name } as const)
    : ({ type: 'document', source, title: name } as const)
}
