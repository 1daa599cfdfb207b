/**
 * Long blocks, drawn in groups. Each group is parsed once, and what is out of sight is neither laid out nor painted (see the style sheet),
 * so a row or an item that is added costs the last group. The roles say that the groups are one block.
 */
import { memo } from 'react'
import type { CSSProperties } from 'react'
import type { ListLayout } from './layout/split-list.ts'
import type { ParagraphLayout } from './layout/split-paragraph.ts'
import type { TableLayout } from './layout/split-table.ts'
import { Parsed } from './parsed.tsx'

export function LongList({ isOrdered, start, isLoose, hasTasks, groups }: ListLayout) {
  const className = hasTasks ? 'contains-task-list' : undefined
  return (
    <div className="long-list" role="list" data-loose={isLoose}>
      {groups.map(({ source, before }, at) => {
        const first = start + before
        const items = <Parsed source={source} within={isLoose ? 'loose list' : 'list'} />
        return isOrdered ? (
          <ol key={at} role="none" start={first === 1 ? undefined : first} className={className}>
            {items}
          </ol>
        ) : (
          <ul key={at} role="none" className={className}>
            {items}
          </ul>
        )
      })}
    </div>
  )
}

export function LongTable({ head, groups, columns, isEven }: TableLayout) {
  const style = isEven ? { '--columns': columns, minWidth: `${columns * 7}rem` } : {}
  return (
    <div className="table-scroll">
      <table className={isEven ? 'long-table' : undefined} role="table" style={style as CSSProperties}>
        <Parsed source={head} within="table" />
        {groups.map((rows, at) => (
          <Parsed key={at} source={rows} within="rows" />
        ))}
      </table>
    </div>
  )
}

export function LongParagraph({ pieces }: ParagraphLayout) {
  return (
    <p>
      {pieces.map(({ source, after }, at) => (
        <PieceOfText key={at} source={source} after={after} />
      ))}
    </p>
  )
}

const PieceOfText = memo(function PieceOfText({ source, after }: ParagraphLayout['pieces'][number]) {
  return (
    <>
      <Parsed source={source} within="paragraph" />
      {after === '\n' ? <br /> : after}
    </>
  )
})
