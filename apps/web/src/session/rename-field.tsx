import { useState } from 'react'

const maxTitleLength = 200

/** Takes a session's new title. Enter and leaving the field keep it; Escape, and a title that is empty or the same, do not. */
export function RenameField({
  title,
  onDone,
}: {
  title: string
  onDone: (renamed: string | null, by: 'key' | 'leaving') => void
}) {
  const [text, setText] = useState(title)
  const finish = (by: 'key' | 'leaving') => {
    const renamed = text.trim()
    onDone(renamed === '' || renamed === title ? null : renamed, by)
  }
  return (
    <input
      className="rename-field"
      aria-label="New title"
      value={text}
      maxLength={maxTitleLength}
      // The field is there because its button was pressed: the focus follows the press.
      ref={(field) => field?.focus()}
      onFocus={(event) => event.target.select()}
      onChange={(event) => setText(event.target.value)}
      onBlur={() => finish('leaving')}
      onKeyDown={(event) => {
        if (event.nativeEvent.isComposing) return
        if (event.key === 'Enter') finish('key')
        if (event.key === 'Escape') onDone(null, 'key')
      }}
    />
  )
}
