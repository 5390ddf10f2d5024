// Compresses answers with gzip (RFC 9110 section 8.4.1.3), a few at once; what is too short, too long or too much for
// now goes out as it is.
import { gzip } from 'node:zlib';

/** Below it, the head of an answer weighs more than what is saved. */
const LEAST_BYTES = 1024;
/** The copy is held beside the answer. */
const MOST_BYTES = 16 * 1024 * 1024;
/** Compression runs on the threads that also read and write files. */
const AT_ONCE = 2;
/** The fastest: a list of a thousand agents gets to a tenth of its size at every level. */
const LEVEL = 1;

let running = 0;

/** Does Accept-Encoding allow gzip (RFC 9110 section 12.5.3)? Not where it does not say so. */
export function acceptsGzip(acceptEncoding: string | undefined): boolean {
  const codings = (acceptEncoding ?? '').split(',').map((coding) => {
    const [name = '', ...parameters] = coding.split(';').map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
    return { name, isRefused: weight !== undefined && !(Number(weight) > 0) };
  });
  const found = codings.find(({ name }) => name === 'gzip') ?? codings.find(({ name }) => name === '*');
  return found !== undefined && !found.isRefused;
}

/** The answer compressed; undefined: it goes out as it is. */
export async function compressed(answer: string | Buffer): Promise<Buffer | undefined> {
  const bytes = typeof answer === 'string' ? Buffer.byteLength(answer) : answer.length;
  if (bytes < LEAST_BYTES || bytes > MOST_BYTES || running >= AT_ONCE) return undefined;
  running += 1;
  try {
    return await new Promise((resolve) => {
      // What cannot be compressed is sent nevertheless.
      gzip(answer, { level: LEVEL }, (error, packed) => resolve(error === null ? packed : undefined));
    });
  } finally {
    running -= 1;
  }
}
