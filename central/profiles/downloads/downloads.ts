// Downloads of releases by agents: whether a ticket allows one, how many are open at once, and the content in small
// pieces at the rates of the parameters. A download holds one chunk of the content, never all of it, and none while it
// waits for a rate.
import type { Metrics } from '../../metrics.ts';
import type { Store } from '../../store/store.ts';
import { CHUNK_BYTES } from '../../store/releases/release-store.ts';
import type { Tickets } from '../tickets.ts';
import { CompressedFiles } from './compressed.ts';
import { downloadFault } from './errors.ts';
import { PIECE_BYTES, type DownloadPace } from './pace.ts';

/** An agent needs one; a second one may be there while a cut line is not noticed yet. */
export const MAX_DOWNLOADS_OF_AGENT = 4;
/** Each holds a chunk and what its socket takes: some 24 MiB. */
export const MAX_DOWNLOADS = 128;

interface DownloadsNeeds {
  readonly store: {
    readonly agents: Pick<Store['agents'], 'get'>;
    readonly releases: Pick<Store['releases'], 'blobSize' | 'isOfRelease' | 'readChunk' | 'release'>;
  };
  readonly tickets: Pick<Tickets, 'verify'>;
  readonly pace: Pick<DownloadPace, 'take' | 'throttled'>;
  readonly metrics: Metrics;
  /** Monotonic, in milliseconds. */
  readonly clock: () => number;
}

/** What is sent, as the metrics count it. */
const CONTENTS = ['manifest', 'signature', 'file', 'compressed'] as const;

/** What a ticket allows to download. */
interface Content {
  readonly content: (typeof CONTENTS)[number];
  readonly agentId: string;
  readonly sha256: string;
  readonly size: number;
}

/** The manifest of the release with this digest, the signature of its build, or a file by its SHA-256. */
export type Wanted = { readonly manifestOf: string } | { readonly signatureOf: string } | { readonly blob: string };

/** A file as zstd. Call `close` when the download has ended. */
type CompressedContent = Content & { readonly bytes: Buffer; readonly close: () => void };

interface DownloadPart {
  /** The first byte, and the one behind the last. */
  readonly from: number;
  readonly to: number;
  /** Whether the system has taken all pieces so far: the memory of the last one serves the next then. */
  readonly isSent: () => boolean;
  /** Ends it. */
  readonly signal: AbortSignal;
}

export class Downloads {
  readonly #needs: DownloadsNeeds;
  readonly #open = new Map<string, number>();
  readonly #compressed: CompressedFiles;
  #inAll = 0;

  constructor(needs: DownloadsNeeds) {
    this.#needs = needs;
    this.#compressed = new CompressedFiles((sha256, size) => this.#whole(sha256, size), needs.clock);
    for (const content of CONTENTS) this.#sentBytes.inc({ content }, 0);
  }

  /** Downloads that are open now. */
  get size(): number {
    return this.#inAll;
  }

  /** Those that wait for a rate count as throttled. */
  measure({ instruments: { queuegate_downloads: downloads } }: Metrics): void {
    const throttled = Math.min(this.#needs.pace.throttled, this.#inAll);
    downloads.set({ state: 'throttled' }, throttled);
    downloads.set({ state: 'sending' }, this.#inAll - throttled);
  }

  get #sentBytes(): Metrics['instruments']['queuegate_download_bytes_total'] {
    return this.#needs.metrics.instruments.queuegate_download_bytes_total;
  }

  /** A download was refused with this code. */
  refused(code: string): void {
    this.#needs.metrics.instruments.queuegate_download_refusals_total.inc({ code });
  }

  /** Errors: ticket_invalid, download_forbidden, download_unknown. */
  async find(ticket: string, wanted: Wanted): Promise<Content> {
    const { store, tickets } = this.#needs;
    const allowed = tickets.verify(ticket);
    if (allowed === undefined) throw downloadFault('ticket_invalid', {});
    const { agentId, digest } = allowed;
    const agent = await store.agents.get(agentId);
    if (agent === undefined || agent.state === 'revoked' || agent.state === 'disabled')
      throw downloadFault('download_forbidden', { agent: agentId, found: agent?.state ?? 'deleted' });
    const sha256 = await this.#contentOf(digest, wanted);
    const size = sha256 === undefined ? undefined : await store.releases.blobSize(sha256);
    if (sha256 === undefined || size === undefined)
      throw downloadFault('download_unknown', { wanted: textOf(wanted), release: digest });
    const content = 'blob' in wanted ? 'file' : 'manifestOf' in wanted ? 'manifest' : 'signature';
    return { content, agentId, sha256, size };
  }

  /** The SHA-256 of what is wanted, if it belongs to the release of the ticket. */
  async #contentOf(digest: string, wanted: Wanted): Promise<string | undefined> {
    const { releases } = this.#needs.store;
    if ('blob' in wanted) return (await releases.isOfRelease(digest, wanted.blob)) ? wanted.blob : undefined;
    if (('manifestOf' in wanted ? wanted.manifestOf : wanted.signatureOf) !== digest) return undefined;
    const release = await releases.release(digest);
    if (release === undefined) return undefined;
    return 'manifestOf' in wanted ? digest : (release.signature ?? undefined);
  }

  /** The content as zstd, with its own SHA-256 and size; undefined: it is to be sent as it is. */
  async compressed({ agentId, sha256, size }: Content, signal: AbortSignal): Promise<CompressedContent | undefined> {
    const opened = await this.#compressed.open({ sha256, size, agentId }, signal);
    if (opened === undefined) return undefined;
    const { packed, close } = opened;
    return {
      content: 'compressed',
      agentId,
      sha256: packed.sha256,
      size: packed.bytes.length,
      bytes: packed.bytes,
      close,
    };
  }

  /** Counts a download; call what it returns when it has ended. Errors: too_many_downloads, downloads_full. */
  begin(agentId: string): () => void {
    const count = this.#open.get(agentId) ?? 0;
    if (count >= MAX_DOWNLOADS_OF_AGENT)
      throw downloadFault('too_many_downloads', { agent: agentId, most: MAX_DOWNLOADS_OF_AGENT });
    if (this.#inAll >= MAX_DOWNLOADS) throw downloadFault('downloads_full', { most: MAX_DOWNLOADS });
    this.#add(agentId, 1);
    let ended = false;
    return () => {
      if (!ended) this.#add(agentId, -1);
      ended = true;
    };
  }

  /** The bytes of this part, in pieces, as fast as the rates allow. Throws when the content was deleted meanwhile. */
  async *read(
    { content, agentId, sha256, bytes }: Content & { readonly bytes?: Buffer },
    { from, to, isSent, signal }: DownloadPart,
  ): AsyncGenerator<Uint8Array> {
    const { store, pace } = this.#needs;
    let at = from;
    let memory: ArrayBuffer | undefined;
    while (at < to) {
      const index = Math.floor(at / CHUNK_BYTES);
      const start = index * CHUNK_BYTES;
      const length = Math.min(to, start + CHUNK_BYTES, at + PIECE_BYTES) - at;
      // Before it is read: what waits for a rate holds no content.
      await pace.take(agentId, length, signal);
      if (signal.aborted) return;
      const read =
        bytes === undefined ? await store.releases.readChunk(sha256, index, isSent() ? memory : undefined) : undefined;
      // Of a whole chunk: the last one may have less.
      memory = read?.buffer.byteLength === CHUNK_BYTES ? read.buffer : undefined;
      const chunk = read ?? bytes?.subarray(start, start + CHUNK_BYTES);
      const piece = chunk?.subarray(at - start, at - start + length);
      if (piece?.length !== length) throw new Error(`the content ${sha256} ends at ${at + (piece?.length ?? 0)}`);
      if (signal.aborted) return;
      at += length;
      this.#sentBytes.inc({ content }, length);
      yield piece;
    }
  }

  /** Of a small file. */
  async #whole(sha256: string, size: number): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    for (let index = 0; index * CHUNK_BYTES < size; index += 1) {
      const chunk = await this.#needs.store.releases.readChunk(sha256, index);
      if (chunk === undefined) throw new Error(`the content ${sha256} ends at ${index * CHUNK_BYTES}`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  #add(agentId: string, count: number): void {
    this.#inAll += count;
    const open = (this.#open.get(agentId) ?? 0) + count;
    if (open === 0) this.#open.delete(agentId);
    else this.#open.set(agentId, open);
  }
}

function textOf(wanted: Wanted): string {
  if ('blob' in wanted) return `The content ${wanted.blob.slice(0, 64)}`;
  return 'manifestOf' in wanted
    ? `The manifest of ${wanted.manifestOf.slice(0, 64)}`
    : `A signature of ${wanted.signatureOf.slice(0, 64)}`;
}
