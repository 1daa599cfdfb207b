/** S3 as the store of attachments' bytes. Needs `@aws-sdk/client-s3`. */
export { createS3Store, type S3StoreOptions } from './s3-store.ts'
