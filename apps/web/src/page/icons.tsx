/** The page's few icons, drawn in the text's color. Decoration: what they stand on has a name of its own. */

function Icon({ path }: { path: string }) {
  return (
    <svg className="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      <path d={path} />
    </svg>
  )
}

export const PlusIcon = () => <Icon path="M10 4.5v11M4.5 10h11" />
export const ClipIcon = () => (
  <Icon path="m15.800 9.300-5.900 5.900a3.600 3.600 0 0 1-5.100-5.100l6.300-6.300a2.400 2.400 0 0 1 3.400 3.400l-6.200 6.200a1.200 1.200 0 0 1-1.700-1.700l5.300-5.300" />
)
export const MenuIcon = () => <Icon path="M3.500 6h13M3.500 10h13M3.500 14h8" />
export const CloseIcon = () => <Icon path="m5 5 10 10M15 5 5 15" />
export const SendIcon = () => <Icon path="M10 16V4.500M5 9.200l5-5 5 5" />
export const DownIcon = () => <Icon path="M10 4v11.500M5 10.800l5 5 5-5" />
export const StopIcon = () => <Icon path="M6.500 6.500h7v7h-7z" />
export const PencilIcon = () => <Icon path="m12.800 4.200 3 3L7.500 15.500l-3.700.7.700-3.700z" />
export const TrashIcon = () => <Icon path="M4 6h12M8 6V4h4v2M6 6l.700 10h6.600L14 6" />

/** The mark of Verbatim: an opening quotation mark. */
export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" />
      <path d="M7 20c0-6 2.500-9.500 7-11l1 2c-2.500 1-3.800 2.600-4 4.500 2.400 0 4 1.500 4 3.800S13.400 23 11.200 23C8.600 23 7 21.700 7 20Zm10 0c0-6 2.500-9.500 7-11l1 2c-2.500 1-3.800 2.600-4 4.500 2.400 0 4 1.500 4 3.800S23.400 23 21.200 23C18.600 23 17 21.700 17 20Z" />
    </svg>
  )
}
