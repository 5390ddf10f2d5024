// What a program wrote, in the folder of its task: its size up to the bound, its digest and its last bytes.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { TAIL_BYTES, type TaskOutput } from '../../shared/wire/tasks/frames.ts';
import { openTaskFile } from './files.ts';

const CHUNK_BYTES = 64 * 1024;

/**
 * Null: there is no such file. The supervisor keeps one byte more than the bound where there was more: it stays in the
 * file, which is measured again after a kill, and belongs to nothing.
 */
export async function outputIn(
  folder: string,
  channel: 'stderr' | 'stdout',
  { maxBytes, account }: { readonly maxBytes: number; readonly account?: number | undefined },
): Promise<TaskOutput | null> {
  const file = await openTaskFile(join(folder, channel), account);
  if (file === undefined) return null;
  try {
    const { size } = await file.stat();
    const bytes = Math.min(size, maxBytes);
    const hash = createHash('sha256');
    const chunk = Buffer.alloc(CHUNK_BYTES);
    let tail = Buffer.alloc(0);
    for (let at = 0; at < bytes;) {
      const { bytesRead } = await file.read(chunk, 0, Math.min(CHUNK_BYTES, bytes - at), at);
      if (bytesRead === 0) break;
      const part = chunk.subarray(0, bytesRead);
      hash.update(part);
      tail = Buffer.concat([tail, part]).subarray(-TAIL_BYTES);
      at += bytesRead;
    }
    return { keptBytes: bytes, sha256: hash.digest('hex'), truncated: size > maxBytes, tail: tail.toString('base64') };
  } finally {
    await file.close();
  }
}
