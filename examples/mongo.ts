/** Where the examples keep their data. A program of yours says it in place: `{ uri: 'mongodb://localhost:27017' }`. */
export const mongo = {
  uri: process.env['MONGODB_URI'] ?? 'mongodb://localhost:27017',
  databaseName: process.env['VERBATIM_DATABASE'] ?? 'verbatim-examples',
}
