// The manifest of a release: the list of its files in one canonical form, whose SHA-256 is the digest that names the
// release. Files travel as blobs by their SHA-256, so that an unchanged file is never sent twice. A manifest that is
// not canonical is refused: two texts never name the same release.
import { createHash } from 'node:crypto';
import { Breather } from '../breather.ts';
import { textOf } from '../errors.ts';
import { isRecord, validate, type JsonSchema, type Static } from '../wire/json-schema.ts';
import { releaseFault } from './errors.ts';

export const MANIFEST_TYPE = 'application/vnd.queuegate.manifest.v1+json';
export const MAX_FILES = 10_000;
/** Of all paths. */
const MAX_FOLDERS = 20_000;
export const MAX_RELEASE_BYTES = 1024 ** 3;
/** In UTF-16 units, as Windows counts. */
export const MAX_PATH_LENGTH = 240;
/** Folders above a file, and the file: what nests packages in packages has some twenty. */
const MAX_PATH_PARTS = 40;
/** 10,000 files with paths of 240 characters, three bytes each, fit. */
export const MAX_MANIFEST_BYTES = 10 * 1024 ** 2;

const FILE = {
  type: 'object',
  required: ['path', 'size', 'sha256', 'executable'],
  additionalProperties: false,
  properties: {
    path: { type: 'string', minLength: 1, maxLength: MAX_PATH_LENGTH },
    /** Bytes. */
    size: { type: 'integer', minimum: 0, maximum: MAX_RELEASE_BYTES },
    sha256: { type: 'string', minLength: 64, maxLength: 64, pattern: '^[0-9a-f]{64}$' },
    /** Of the mode of a file only this counts. */
    executable: { type: 'boolean' },
  },
} as const satisfies JsonSchema;

const MANIFEST = {
  type: 'object',
  required: ['format', 'kind', 'name', 'files'],
  additionalProperties: false,
  properties: {
    format: { type: 'integer', minimum: 1, maximum: 1 },
    kind: { enum: ['profile', 'software'] },
    /** Of the profile, or of the software with its version and platform. */
    name: { type: 'string', minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9][A-Za-z0-9._-]*$' },
    files: { type: 'array', maxItems: MAX_FILES, items: FILE },
  },
} as const satisfies JsonSchema;

export type ReleaseFile = Static<typeof FILE>;
export type Manifest = Static<typeof MANIFEST>;
export type ReleaseKind = Manifest['kind'];

/**
 * The canonical text: members in fixed order, no white space, files in the order of the UTF-8 bytes of their paths.
 * Errors: release_path_invalid, release_too_large, manifest_invalid.
 */
export function manifestText({ kind, name, files }: Omit<Manifest, 'format'>): string {
  return canonicalText(assertManifest({ format: 1, kind, name, files: files.map(plainFile) }));
}

function canonicalText({ kind, name, files }: Manifest): string {
  const sorted = files
    .map((file) => ({ file, key: Buffer.from(file.path) }))
    .toSorted((one, other) => Buffer.compare(one.key, other.key));
  return JSON.stringify({ format: 1, kind, name, files: sorted.map(({ file }) => plainFile(file)) });
}

function plainFile({ path, size, sha256, executable }: ReleaseFile): ReleaseFile {
  return { path, size, sha256, executable };
}

/** SHA-256 of the canonical text, lower-case hex: the name of the release. */
export function manifestDigest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Errors: as `manifestText`; a text that is not canonical is manifest_invalid. */
export function parseManifest(text: string): Manifest {
  for (const steps = manifestSteps(text); ;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** As `parseManifest`, in slices of the event loop: 10,000 files are some 50 ms of work. */
export async function readManifest(text: string): Promise<Manifest> {
  const breather = new Breather();
  for (const steps = manifestSteps(text); ;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    await breather.pause();
  }
}

/** Yields after each file, where a reader may pause. */
function* manifestSteps(text: string): Generator<undefined, Manifest> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw releaseFault('manifest_invalid', { found: `it is not JSON: ${textOf(error)}` }, error);
  }
  yield undefined;
  const manifest = yield* checkedManifest(value);
  yield* fileChecks(manifest.files);
  // The text piece by piece, as `canonicalText` would write it.
  const { kind, name } = manifest;
  const head = JSON.stringify({ format: 1, kind, name, files: [] }).slice(0, -2);
  let at = text.startsWith(head) ? head.length : Number.NaN;
  let before: Buffer | undefined;
  for (const file of manifest.files) {
    const piece = `${before === undefined ? '' : ','}${JSON.stringify(plainFile(file))}`;
    const key = Buffer.from(file.path);
    const isNext = text.startsWith(piece, at) && (before === undefined || Buffer.compare(before, key) < 0);
    at = isNext ? at + piece.length : Number.NaN;
    before = key;
    yield undefined;
  }
  if (text.slice(at) !== ']}' || Number.isNaN(at))
    throw releaseFault('manifest_invalid', { found: 'its text is not in the canonical form' });
  return manifest;
}

function* checkedManifest(value: unknown): Generator<undefined, Manifest> {
  const list = isRecord(value) ? value['files'] : undefined;
  const files: readonly unknown[] = Array.isArray(list) && list.length <= MAX_FILES ? list : [];
  const found = validate(MANIFEST, files.length === 0 || !isRecord(value) ? value : { ...value, files: [] });
  if (found !== undefined) throw releaseFault('manifest_invalid', { found });
  for (const [index, file] of files.entries()) {
    const fault = validate(FILE, file, '/files', index);
    if (fault !== undefined) throw releaseFault('manifest_invalid', { found: fault });
    yield undefined;
  }
  // `validate` has just shown it.
  return value as Manifest;
}

/** Bytes of all files. */
export function releaseBytes({ files }: Pick<Manifest, 'files'>): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

function assertManifest(value: unknown): Manifest {
  const found = validate(MANIFEST, value);
  if (found !== undefined) throw releaseFault('manifest_invalid', { found });
  // `validate` has just shown it.
  const manifest = value as Manifest;
  assertFiles(manifest.files);
  return manifest;
}

/**
 * Paths that every agent can hold, each once, and all of them within the bounds. Errors: release_path_invalid,
 * release_too_large.
 */
export function assertFiles(files: readonly Pick<ReleaseFile, 'path' | 'size'>[]): void {
  for (const steps = fileChecks(files); steps.next().done !== true;);
}

/** Yields after each file. */
function* fileChecks(files: readonly Pick<ReleaseFile, 'path' | 'size'>[]): Generator<undefined, void> {
  if (files.length > MAX_FILES)
    throw releaseFault('release_too_large', { found: `${files.length} files`, allowed: `${MAX_FILES} files` });
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  if (bytes > MAX_RELEASE_BYTES)
    throw releaseFault('release_too_large', { found: `${bytes} bytes`, allowed: `${MAX_RELEASE_BYTES} bytes` });
  // What is in each folder, by its number and the folded name: a path costs its length, however many folders it has.
  const taken = new Map<
    string,
    { readonly part: string; readonly path: string; readonly folder: number | undefined }
  >();
  let folders = 0;
  for (const { path } of files) {
    const fault = pathFault(path);
    if (fault !== undefined) throw releaseFault('release_path_invalid', { path, found: fault });
    const parts = path.split('/');
    let above = 0;
    let end = -1;
    for (const [index, part] of parts.entries()) {
      end += part.length + 1;
      const isFile = index === parts.length - 1;
      const key = `${above}/${folding(part)}`;
      const before = taken.get(key);
      if (before !== undefined && (before.folder === undefined || isFile || before.part !== part))
        throw releaseFault('release_path_invalid', {
          path,
          found: `"${before.path}" has the same name where case and Unicode forms do not count`,
        });
      const folder = isFile ? undefined : (before?.folder ?? (folders += 1));
      if (before === undefined) taken.set(key, { part, path: path.slice(0, end), folder });
      above = folder ?? above;
      if (folders > MAX_FOLDERS)
        throw releaseFault('release_too_large', {
          found: `more than ${MAX_FOLDERS} folders`,
          allowed: `${MAX_FOLDERS} folders`,
        });
    }
    yield undefined;
  }
}

/** Two names that a file system may take for one (Windows, macOS). */
function folding(path: string): string {
  return path.normalize('NFC').toLowerCase().normalize('NFC');
}

const DEVICES = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\.|$)/i;

/** Why a path cannot be part of a release; undefined: it can. */
export function pathFault(path: string): string | undefined {
  if (path.length === 0) return 'it is empty';
  if (path.length > MAX_PATH_LENGTH) return `it has ${path.length} characters, and ${MAX_PATH_LENGTH} are allowed`;
  if (!path.isWellFormed()) return 'it is not valid Unicode';
  if (path.startsWith('/')) return 'it is not relative';
  const parts = path.split('/');
  if (parts.length > MAX_PATH_PARTS) return `it is ${parts.length} levels deep, and ${MAX_PATH_PARTS} are allowed`;
  for (const part of parts) {
    if (part === '') return 'it has an empty part';
    if (part === '.' || part === '..') return `it has the part "${part}"`;
    // Microsoft, "Naming Files, Paths, and Namespaces": reserved characters, device names, and endings that Windows
    // drops.
    const character = /[<>:"\\|?*\p{Cc}]/u.exec(part)?.[0];
    if (character !== undefined) return `Windows does not allow ${JSON.stringify(character)} in a name`;
    if (/[. ]$/.test(part)) return 'Windows drops a dot or a blank at the end of a name';
    if (DEVICES.test(part)) return `"${part}" is the name of a device on Windows`;
  }
  return undefined;
}
