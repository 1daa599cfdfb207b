/** How many sessions one stream follows, and how many runs: more than a browser has tabs, and the URL stays short. */
export const maxFollowed = { sessions: 32, runs: 16 } as const
