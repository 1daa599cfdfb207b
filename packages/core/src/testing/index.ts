/** For tests of programs that use Verbatim: real storage, scripted agents. */
export { openTestCore, type TestCore } from './test-core.ts'
export { openTestDatabase, type TestDatabase } from './test-database.ts'
