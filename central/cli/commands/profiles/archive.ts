// Packs a directory as a tar archive (POSIX.1-2001: ustar, with pax headers for long and foreign names), file by file
// as it is read.
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import type { ReleaseFile } from '../../../../shared/releases/manifest.ts';
import { cliFault } from '../../errors.ts';

const BLOCK = 512;
const MAX_NAME = 100;

/** Errors: directory_changed, and those of the file system. */
export async function* packDirectory(folder: string, files: readonly ReleaseFile[]): AsyncGenerator<Buffer> {
  for (const { path, size, executable } of files) {
    const mode = executable ? 0o755 : 0o644;
    if (Buffer.byteLength(path) > MAX_NAME || !/^[\x20-\x7e]*$/.test(path)) {
      const record = paxRecord('path', path);
      yield header({ name: 'PaxHeader', size: record.length, mode: 0o644, kind: 'x' });
      yield padded(record);
    }
    yield header({ name: path.replaceAll(/[^\x20-\x7e]/g, '_').slice(0, MAX_NAME), size, mode, kind: '0' });
    let sent = 0;
    // Never more than was announced: the file may grow meanwhile.
    for await (const piece of createReadStream(join(folder, path), { end: Math.max(size - 1, 0) })) {
      const bytes = (piece as Buffer).subarray(0, size - sent);
      sent += bytes.length;
      yield bytes;
    }
    if (sent !== size) throw cliFault('directory_changed', { path });
    yield Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
  }
  yield Buffer.alloc(2 * BLOCK);
}

interface Header {
  readonly name: string;
  readonly size: number;
  readonly mode: number;
  readonly kind: '0' | 'x';
}

function header({ name, size, mode, kind }: Header): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number): void =>
    void block.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1');
  block.write(name, 0, 'latin1');
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  block.write('        ', 148, 'latin1');
  block.write(kind, 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** Its length counts itself. */
function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  if (rest + String(length).length !== length) length = rest + String(length).length;
  return Buffer.from(`${length} ${key}=${value}\n`);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);
}
