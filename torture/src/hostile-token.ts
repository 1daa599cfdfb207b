/** The bearer token of the hostile caller, who is another owner; all other clients need none. */
export const hostileToken = 'hostile'
