// Reads a tar archive (POSIX.1-2001 ustar and pax, and the long names of GNU tar) as a stream, file by file: no file is
// held whole, and nothing is written to a disk. Whatever is not a file or a folder is refused.
import { profileFault } from '../errors.ts';

const BLOCK = 512;
/** Of a pax header or a long name: a path has 240 characters. */
const MAX_EXTENSION_BYTES = 64 * 1024;
/** Files, folders and headers; a release has at most 10,000 files. */
const MAX_ENTRIES = 50_000;
/** Of all such headers: 10,000 files with a long name, times and attributes have some 15 MB. */
const MAX_EXTENSIONS_BYTES = 32 * 1024 * 1024;
/** Behind the end: tar pads to its block, usually of 10 KiB. */
const MAX_PADDING_BYTES = 1024 * 1024;

interface TarEntry {
  /** Relative, with "/"; without "./" in front. */
  readonly path: string;
  readonly size: number;
  readonly executable: boolean;
  /** To be read to its end before the next entry; what is not read is skipped. */
  readonly content: AsyncIterable<Buffer>;
}

const END = Buffer.alloc(BLOCK);

const KINDS: Readonly<Record<string, string>> = {
  '1': 'a hard link',
  '2': 'a symbolic link',
  '3': 'a character device',
  '4': 'a block device',
  '6': 'a pipe',
  S: 'a sparse file',
};

/** The files of the archive, in its order. Errors: archive_invalid. */
export async function* readTar(source: AsyncIterable<Buffer>): AsyncGenerator<TarEntry> {
  const input = new Input(source);
  let longPath: string | undefined;
  let longSize: number | undefined;
  let extensions = 0;
  for (let count = 0; ; count += 1) {
    if (count > MAX_ENTRIES) throw invalid(`it has more than ${MAX_ENTRIES} entries`);
    const header = await input.block();
    // Two blocks of zeros end an archive; one does, or its end.
    if (header === undefined || header.equals(END)) break;
    const { kind, size: headerSize, path: headerPath, mode } = parseHeader(header);
    if (kind === 'x' || kind === 'g' || kind === 'L' || kind === 'K') {
      if (headerSize > MAX_EXTENSION_BYTES) throw invalid(`a header in it has ${headerSize} bytes`);
      extensions += headerSize;
      if (extensions > MAX_EXTENSIONS_BYTES)
        throw invalid(`the headers in it have more than ${MAX_EXTENSIONS_BYTES} bytes`);
      const text = await input.text(headerSize);
      if (kind === 'x') {
        const records = parsePax(text);
        longPath = records.get('path') ?? longPath;
        const size = records.get('size');
        longSize = size === undefined ? longSize : Number(size);
      } else if (kind === 'L') longPath = text.toString('utf8').replace(/\0.*$/s, '');
      continue;
    }
    const [path, size] = [plain(longPath ?? headerPath), longSize ?? headerSize];
    [longPath, longSize] = [undefined, undefined];
    if (!Number.isSafeInteger(size) || size < 0) throw invalid(`the size of ${JSON.stringify(path)} cannot be read`);
    if (kind === '5' || (kind === '0' && path.endsWith('/'))) continue;
    if (kind !== '0' && kind !== '7')
      throw invalid(`${JSON.stringify(path.slice(0, 256))} is ${KINDS[kind] ?? `of the kind ${JSON.stringify(kind)}`}`);
    const content = input.content(size);
    yield { path, size, executable: (mode & 0o100) !== 0, content };
    for await (const _rest of content);
    await input.skip((BLOCK - (size % BLOCK)) % BLOCK);
  }
  await input.drain();
}

function parseHeader(header: Buffer) {
  const sum = Number.parseInt(textAt(header, 148, 8), 8);
  // Its own eight bytes count as blanks.
  let found = 8 * 32;
  for (let at = 0; at < BLOCK; at += 1) if (at < 148 || at >= 156) found += header[at] ?? 0;
  if (sum !== found) throw invalid('a header in it has a wrong checksum, or it is not a tar file');
  const prefix = textAt(header, 257, 5) === 'ustar' && header[262] === 0 ? textAt(header, 345, 155) : '';
  const name = textAt(header, 0, 100);
  const kind = textAt(header, 156, 1);
  return {
    kind: kind === '' ? '0' : kind,
    path: prefix === '' ? name : `${prefix}/${name}`,
    mode: Number.parseInt(textAt(header, 100, 8), 8) || 0,
    // GNU's numbers in base 256 are for files of 8 GiB and more.
    size: (header[124] ?? 0) >= 128 ? Number.NaN : Number.parseInt(textAt(header, 124, 12) || '0', 8),
  };
}

function textAt(block: Buffer, at: number, length: number): string {
  const part = block.subarray(at, at + length);
  const end = part.indexOf(0);
  return part
    .subarray(0, end === -1 ? length : end)
    .toString('utf8')
    .trim();
}

/** "LENGTH KEY=VALUE\n", the length in bytes, of itself too (POSIX pax, "Extended Header"). */
function parsePax(bytes: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length;) {
    const blank = bytes.indexOf(32, at);
    const length = Number(bytes.subarray(at, blank).toString('latin1'));
    if (blank === -1 || !Number.isSafeInteger(length) || length <= blank - at || at + length > bytes.length)
      throw invalid('a pax header in it cannot be read');
    const record = bytes.subarray(blank + 1, at + length - 1).toString('utf8');
    const equals = record.indexOf('=');
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}

function plain(path: string): string {
  return path.replace(/^(?:\.\/+)+/, '');
}

/** The bytes that have come and were not read yet: at most one piece of the source. */
class Input {
  readonly #source: AsyncIterator<Buffer>;
  #piece: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async block(): Promise<Buffer | undefined> {
    const block = await this.#read(BLOCK);
    if (block.length > 0 && block.length < BLOCK) throw invalid('it ends too early');
    return block.length === 0 ? undefined : block;
  }

  /** With its padding. */
  async text(size: number): Promise<Buffer> {
    const bytes = await this.#read(Math.ceil(size / BLOCK) * BLOCK);
    if (bytes.length < size) throw invalid('it ends too early');
    return bytes.subarray(0, size);
  }

  async *content(size: number): AsyncGenerator<Buffer> {
    for (let left = size; left > 0;) {
      if (this.#piece.length === 0 && !(await this.#more())) throw invalid('it ends too early');
      const part = this.#piece.subarray(0, left);
      this.#piece = this.#piece.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }

  async skip(size: number): Promise<void> {
    for await (const _part of this.content(size));
  }

  /** What follows the end (padding up to the size of a tape block) is read, so that the request ends in order. */
  async drain(): Promise<void> {
    let bytes = 0;
    do {
      bytes += this.#piece.length;
      if (bytes > MAX_PADDING_BYTES) throw invalid(`more than ${MAX_PADDING_BYTES} bytes follow its end`);
      this.#piece = Buffer.alloc(0);
    } while (await this.#more());
  }

  async #read(size: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let left = size; left > 0;) {
      if (this.#piece.length === 0 && !(await this.#more())) break;
      const part = this.#piece.subarray(0, left);
      this.#piece = this.#piece.subarray(part.length);
      left -= part.length;
      parts.push(part);
    }
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
  }

  async #more(): Promise<boolean> {
    const next = await this.#source.next();
    if (next.done === true) return false;
    this.#piece = next.value;
    return true;
  }
}

const invalid = (found: string): Error => profileFault('archive_invalid', { found });
