/** How objects are compressed. */
import { promisify } from 'node:util';
import { deflate, deflateSync } from 'node:zlib';

const inBackground = promisify(deflate);
/** Fast: what is written here is small, and packed again by git. */
const LEVEL = 1;
const SMALL = 64 * 1024;
/** More than what a small content can grow by. */
const ROOM = 128;

/**
 * What is small in place: that takes some 50 µs, where the way to another thread takes more, and a quarter of a megabyte
 * for each of a thousand that wait for it. The result is held by no more memory than it needs.
 */
export async function compress(content: Buffer): Promise<Buffer> {
  if (content.length > SMALL) return inBackground(content, { level: LEVEL });
  return deflateSync(content, { level: LEVEL, chunkSize: content.length + ROOM });
}
