/**
 * The worst calls of the allowed size, made from a router: for each procedure, and each field of its input, values that cost most or
 * mean least. A test or a load tool sends them all, and holds every answer against the same rules.
 *
 *     for (const call of hostileCalls(api.router, { maxBodyBytes: 1024 * 1024 })) {
 *       const { path, init } = call.make() // made on demand: all of them at once are gigabytes
 *       const answer = await (await fetch(base + path, withToken(init))).text()
 *       // typed error or success; short; without `marker`, which each of them carries
 *     }
 *
 * `plainCalls` makes the same for an endpoint that is no procedure, from the JSON schema of its body.
 */
export { hostileCalls, plainCalls, type HostileCall, type HostileOptions, type HostileRouter } from './hostile-calls.ts'
export { marker } from './extremes.ts'
