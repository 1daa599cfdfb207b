/** The client's word for a session of the list. */
import type { UseSessionsResult } from '@verbatim/client/react'

export type Session = UseSessionsResult['sessions'][number]
