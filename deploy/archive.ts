// Writes tar (POSIX.1-1988 ustar), ar and zip archives, byte for byte the same for the same entries: one time, one
// owner, sorted names.
import { crc32, deflateRawSync } from 'node:zlib';
import type { Entry } from './entry.ts';

const BLOCK = 512;

/** Folders come before what is in them. `seconds`: the time of every file, since 1970. */
export function tar(
  entries: readonly Entry[],
  seconds: number,
  options: { readonly prefix?: string; readonly keepOrder?: boolean } = {},
): Buffer {
  const { prefix = '', keepOrder = false } = options;
  const folders = new Set<string>();
  for (const { path } of entries) {
    const parts = path.split('/').slice(0, -1);
    for (const length of parts.keys()) folders.add(`${parts.slice(0, length + 1).join('/')}/`);
  }
  const sorted = [
    ...[...folders].map((path) => ({ path, content: Buffer.alloc(0), executable: true })),
    ...entries,
  ].toSorted((one, other) => (one.path < other.path ? -1 : 1));
  // A reader that needs one entry before the others does without folders.
  const all = keepOrder ? entries : sorted;
  const pieces = all.flatMap(({ path, content, executable }) => [
    header(`${prefix}${path}`, content.length, executable ? 0o755 : 0o644, seconds),
    content,
    Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK),
  ]);
  return Buffer.concat([...pieces, Buffer.alloc(2 * BLOCK)]);
}

function header(path: string, size: number, mode: number, seconds: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const [name, prefix] = splitPath(path);
  const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, '0')}\0`;
  block.write(name, 0);
  block.write(octal(mode, 8), 100);
  block.write(octal(0, 8), 108);
  block.write(octal(0, 8), 116);
  block.write(octal(size, 12), 124);
  block.write(octal(seconds, 12), 136);
  block.write('        ', 148);
  block.write(path.endsWith('/') ? '5' : '0', 156);
  block.write('ustar\u000000', 257);
  block.write('root', 265);
  block.write('root', 297);
  block.write(prefix, 345);
  block.write(
    `${octal(
      block.reduce((sum, byte) => sum + byte, 0),
      7,
    )} `,
    148,
  );
  return block;
}

/** A name of at most 100 bytes, and what is before it. */
function splitPath(path: string): [name: string, prefix: string] {
  if (Buffer.byteLength(path) <= 100) return [path, ''];
  const at = path.indexOf('/', path.length - 101);
  if (at === -1 || at > 155) throw new Error(`"${path}" is too long for a tar archive.`);
  return [path.slice(at + 1), path.slice(0, at)];
}

/** As dpkg reads it (deb(5)): members in this order. */
export function ar(members: readonly (readonly [name: string, content: Buffer])[], seconds: number): Buffer {
  const pieces = members.flatMap(([name, content]) => [
    Buffer.from(
      `${name.padEnd(16)}${String(seconds).padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${String(content.length).padEnd(10)}\`\n`,
    ),
    content,
    Buffer.from(content.length % 2 === 0 ? '' : '\n'),
  ]);
  return Buffer.concat([Buffer.from('!<arch>\n'), ...pieces]);
}

/** For Windows (APPNOTE.TXT of PKWARE, 6.3.10): deflated, without dates of their own: 1980-01-01. */
export function zip(entries: readonly Entry[]): Buffer {
  const locals: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const { path, content } of entries.toSorted((one, other) => (one.path < other.path ? -1 : 1))) {
    const name = Buffer.from(path);
    const packed = deflateRawSync(content, { level: 9 });
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    // Names are UTF-8.
    common.writeUInt16LE(0x0800, 2);
    common.writeUInt16LE(8, 4);
    common.writeUInt16LE(0x0021, 8);
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, name, packed]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(offset, 10);
    central.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x00', 'latin1'), common, rest, name]));
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, directory, end]);
}
