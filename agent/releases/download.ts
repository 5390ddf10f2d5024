// Downloads the manifest and the blobs of a release from Central, over the same target, trust and proxy as the session.
// A blob counts once its SHA-256 is right; what a cut line left is continued at its byte (Range and If-Range, RFC 9110
// sections 14.2, 13.1.5).
import { createHash, type Hash } from 'node:crypto';
import type { ClientRequestArgs, IncomingMessage } from 'node:http';
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream';
import { constants, createZstdDecompress } from 'node:zlib';
import { readBoundedStream } from '../../shared/files/bounded-stream.ts';
import { writing } from '../../shared/files/disk-faults.ts';
import { isCoded, systemCode, textOf, type CodedError } from '../../shared/errors.ts';
import { isForeign } from '../../shared/files/path-links.ts';
import { lstatIfThere } from '../../shared/files/secret-file.ts';
import { HAS_FILE_MODES, hasOneName, syncFolder } from '../../shared/platform/files.ts';
import { MAX_SIGNATURE_BYTES } from '../../shared/releases/build-signature.ts';
import { COMPRESSED_TYPE, ENCODING, isCompressible, MAX_WINDOW_LOG } from '../../shared/releases/compressed.ts';
import {
  manifestDigest,
  MAX_MANIFEST_BYTES,
  parseManifest,
  type Manifest,
  type ReleaseFile,
} from '../../shared/releases/manifest.ts';
import type { DialPlan } from '../connection/connection.ts';
import { lineFor } from '../dial/line.ts';
import { agentFault } from '../errors.ts';
import { Agent, request as httpRequest } from '../../shared/http/node-http.ts';

/** Of the line, and of each piece: a line without a byte for so long is cut, and the rest is requested again. */
const SILENT_MS = 60_000;
const LINE_TIMEOUT_MS = 15_000;
/** Longer than an administrator waits; Central may ask for more. */
const MAX_RETRY_AFTER_SECONDS = 3600;
const NEW_TICKET_MS = 60_000;
const READ_BYTES = 256 * 1024;

type DownloadPlan = Pick<DialPlan, 'target' | 'ca' | 'identity' | 'key'>;

interface DownloadPorts {
  readonly plan: DownloadPlan;
  readonly ticket: string;
  readonly signal: AbortSignal;
  /** So many bytes have come; resolves when more may be read. */
  readonly pace: (bytes: number) => Promise<void>;
}

/** Central, or a proxy, asks to come later. */
export class RetryLater extends Error {
  readonly fault: CodedError;
  readonly afterMs: number;

  constructor(fault: CodedError, afterMs: number) {
    super(fault.message);
    this.fault = fault;
    this.afterMs = afterMs;
  }
}

/** One connection, which is used again for each file. */
export class Download {
  readonly #ports: DownloadPorts;
  readonly #agent: Agent;

  constructor(ports: DownloadPorts) {
    this.#ports = ports;
    const { target, ca, identity, key } = ports.plan;
    const tls = { ca: [...ca], allowPartialTrustChain: true, cert: identity.certificate, key: key.pem };
    this.#agent = new LineAgent(
      lineFor(target, { timeoutMs: LINE_TIMEOUT_MS, signal: ports.signal }, target.secure ? tls : undefined),
    );
  }

  close(): void {
    this.#agent.destroy();
  }

  /**
   * The manifest and its text, once it is the one with this digest. Errors: RetryLater, release_ticket_refused,
   * release_unavailable, manifest faults.
   */
  async manifest(release: string): Promise<{ readonly text: string; readonly manifest: Manifest }> {
    const text = await this.#text(`/releases/${release}/manifest`, 'a manifest', MAX_MANIFEST_BYTES);
    if (manifestDigest(text) !== release)
      throw agentFault('release_answer_bad', { found: `a manifest with the SHA-256 ${manifestDigest(text)}` });
    return { text, manifest: parseManifest(text) };
  }

  /** The text of its build signature, which nothing has verified; undefined: it has none. Errors: as `manifest`. */
  async signature(release: string): Promise<string | undefined> {
    try {
      return await this.#text(`/releases/${release}/signature`, 'a build signature', MAX_SIGNATURE_BYTES);
    } catch (error) {
      if (isCoded(error, 'release_unavailable')) return undefined;
      throw error;
    }
  }

  async #text(path: string, what: string, maxBytes: number): Promise<string> {
    const response = await this.#get(path, {});
    try {
      const bytes = await readBoundedStream(response, maxBytes, () =>
        agentFault('release_answer_bad', { found: `${what} of more than ${maxBytes} bytes` }),
      );
      return bytes.toString('utf8');
    } catch (error) {
      throw isCoded(error) ? error : cut(error);
    }
  }

  /**
   * Has the blob in `folder` under its SHA-256. Errors: RetryLater, release_ticket_refused, release_unavailable,
   * release_blob_damaged (nothing is left of it), disk faults.
   */
  async blob(file: Pick<ReleaseFile, 'sha256' | 'size'>, folder: string): Promise<void> {
    const whole = join(folder, file.sha256);
    if (await isWhole(whole, file)) return;
    const part = `${whole}.part`;
    const { hash, size } = (await isOwnPart(part)) ? await hashPart(part, file.size) : nothing();
    const found = size === file.size ? hash : await this.#rest(part, file, { hash, size });
    const sha256 = found.digest('hex');
    if (sha256 !== file.sha256) {
      await rm(part, { force: true });
      throw agentFault('release_blob_damaged', { blob: file.sha256, found: sha256 });
    }
    await writing(whole, async () => {
      await rename(part, whole);
      await syncFolder(dirname(whole));
    });
  }

  /** Appends what is missing, and returns the hash of all of it. */
  async #rest(
    part: string,
    { sha256, size }: Pick<ReleaseFile, 'sha256' | 'size'>,
    have: { readonly hash: Hash; readonly size: number },
  ): Promise<Hash> {
    const { pace, signal } = this.#ports;
    const ranged = have.size === 0 ? {} : { range: `bytes=${have.size}-`, 'if-range': `"${sha256}"` };
    // What a cut line left of a file is continued in the file itself.
    const query = have.size === 0 && isCompressible(size) ? `?encoding=${ENCODING}` : '';
    const response = await this.#get(`/blobs/${sha256}${query}`, ranged);
    const goesOn = response.statusCode === 206 && startOf(response) === have.size;
    if (response.statusCode === 206 && !goesOn) {
      response.destroy();
      throw agentFault('release_answer_bad', { found: `the range "${response.headers['content-range'] ?? ''}"` });
    }
    const hash = goesOn ? have.hash : createHash('sha256');
    let at = goesOn ? have.size : 0;
    const handle = await writing(part, () => (goesOn ? open(part, 'r+') : beginPart(part)));
    try {
      const [pieces, share] = contentOf(response, size);
      for await (const piece of pieces) {
        signal.throwIfAborted();
        if (at + piece.length > size) throw agentFault('release_blob_damaged', { blob: sha256, found: 'more bytes' });
        await writing(part, () => handle.write(piece, 0, piece.length, at));
        hash.update(piece);
        at += piece.length;
        await pace(piece.length * share);
      }
      await writing(part, () => handle.sync());
    } catch (error) {
      const isDamaged = isCoded(error, 'release_blob_damaged') || systemCode(error)?.startsWith('ZSTD_') === true;
      if (isDamaged) await rm(part, { force: true });
      if (isDamaged && !isCoded(error))
        throw agentFault('release_blob_damaged', { blob: sha256, found: 'no zstd' }, error);
      throw isCoded(error) || signal.aborted ? error : cut(error);
    } finally {
      response.destroy();
      await handle.close();
    }
    if (at < size) throw cut(new Error(`it ended at byte ${at} of ${size}`));
    return hash;
  }

  async #get(path: string, headers: Readonly<Record<string, string>>): Promise<IncomingMessage> {
    const { plan, ticket, signal } = this.#ports;
    const { host, port } = plan.target;
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = httpRequest({
        host,
        port,
        path,
        agent: this.#agent,
        signal,
        timeout: SILENT_MS,
        headers: { authorization: `Bearer ${ticket}`, ...headers },
      });
      request.once('timeout', () => request.destroy(new Error(`nothing came for ${SILENT_MS / 1000} seconds`)));
      request.on('error', (error) => reject(signal.aborted ? error : cut(error)));
      request.once('response', resolve);
      request.end();
    });
    const { statusCode: status = 0 } = response;
    if (status === 200 || status === 206) return response;
    const retryAfter = Number(/^\d{1,6}$/.exec(response.headers['retry-after'] ?? '')?.[0] ?? 0);
    response.destroy();
    const found = `HTTP ${status} for ${path}`;
    // It may have expired: Central repeats the offer with a new one where nothing comes for long.
    if (status === 401) throw new RetryLater(agentFault('release_ticket_refused', { found }), NEW_TICKET_MS);
    if (status === 403) throw agentFault('release_ticket_refused', { found });
    if (status === 404 || status === 410) throw agentFault('release_unavailable', { found });
    throw new RetryLater(
      agentFault('release_download_failed', { found }),
      Math.min(retryAfter, MAX_RETRY_AFTER_SECONDS) * 1000,
    );
  }
}

/** The bytes of the file, and how many bytes came over the line for each of them. */
function contentOf(response: IncomingMessage, size: number): readonly [AsyncIterable<Buffer>, number] {
  if (response.headers['content-type'] !== COMPRESSED_TYPE) return [response, 1];
  const unpacked = createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG } });
  // Its error comes to who reads.
  pipeline(response, unpacked, () => undefined);
  return [unpacked, Math.min(1, Number(response.headers['content-length'] ?? size) / size)];
}

class LineAgent extends Agent {
  readonly #connect: NonNullable<ClientRequestArgs['createConnection']>;

  constructor(connect: NonNullable<ClientRequestArgs['createConnection']>) {
    super({ keepAlive: true, maxSockets: 1 });
    this.#connect = connect;
  }

  override createConnection(...parameters: Parameters<NonNullable<ClientRequestArgs['createConnection']>>) {
    return this.#connect(...parameters);
  }
}

/** The line ended; what came is kept. */
function cut(error: unknown): RetryLater {
  const found = error instanceof Error ? (systemCode(error) ?? error.message) : textOf(error);
  return new RetryLater(agentFault('release_download_failed', { found }, error), 0);
}

function startOf({ headers }: IncomingMessage): number | undefined {
  const start = /^bytes (\d{1,15})-/.exec(headers['content-range'] ?? '')?.[1];
  return start === undefined ? undefined : Number(start);
}

async function isWhole(path: string, { size, sha256 }: Pick<ReleaseFile, 'sha256' | 'size'>): Promise<boolean> {
  const found = await stat(path).catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error;
    return undefined;
  });
  if (found === undefined) return false;
  // Hashed again: a disk may have lost what a crash left unwritten.
  const { hash } = await hashPart(path, size);
  if (found.size === size && hash.digest('hex') === sha256) return true;
  await rm(path, { force: true });
  return false;
}

/** A file may be a setting with a password: it is made exclusively, with its mode. */
async function beginPart(path: string): Promise<FileHandle> {
  await rm(path, { force: true });
  return await open(path, 'wx', 0o600);
}

/** What an earlier download left is continued; a link, a file of another account or one that others may read is not. */
async function isOwnPart(path: string): Promise<boolean> {
  const found = await lstatIfThere(path);
  if (found === undefined || !found.isFile()) return false;
  return !HAS_FILE_MODES || (!isForeign(found) && hasOneName(found) && (found.mode & 0o077) === 0);
}

function nothing(): { readonly hash: Hash; readonly size: number } {
  return { hash: createHash('sha256'), size: 0 };
}

/** What a part holds; one that is too long is begun again. */
async function hashPart(path: string, maxBytes: number): Promise<{ readonly hash: Hash; readonly size: number }> {
  const hash = createHash('sha256');
  const handle = await open(path, 'r').catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error;
    return undefined;
  });
  if (handle === undefined) return { hash, size: 0 };
  try {
    const { size } = await handle.stat();
    if (size > maxBytes) return { hash, size: 0 };
    const piece = Buffer.allocUnsafe(READ_BYTES);
    for (let at = 0; at < size;) {
      const { bytesRead } = await handle.read(piece, 0, READ_BYTES, at);
      if (bytesRead === 0) break;
      hash.update(piece.subarray(0, bytesRead));
      at += bytesRead;
    }
    return { hash, size };
  } finally {
    await handle.close();
  }
}
