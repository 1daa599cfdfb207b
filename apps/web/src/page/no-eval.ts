/**
 * Imported before all else. zod, which the client reads answers with, tries on loading whether it may make code from text. A server's
 * content security policy forbids that, and the browser would report the try as an error. zod reads this setting first.
 */
Object.assign(globalThis, { __zod_globalConfig: { jitless: true } })

export {}
