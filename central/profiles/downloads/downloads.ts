// Downloads of releases by agents: whether a ticket allows one, how many are open at once, and the content in small
// pieces at the rates of the parameters. A download holds one chunk of the content, never all of it.
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
  readonly pace: Pick<DownloadPace, 'take'>;
}

/** What a ticket allows to download. */
interface Content {
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
    this.#compressed = new CompressedFiles((sha256, size) => this.#whole(sha256, size));
  }

  /** Downloads that are open now. */
  get size(): number {
    return this.#inAll;
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
    return { agentId, sha256, size };
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
    const opened = await this.#compressed.open(sha256, size, signal);
    if (opened === undefined) return undefined;
    const { packed, close } = opened;
    return { agentId, sha256: packed.sha256, size: packed.bytes.length, bytes: packed.bytes, close };
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
    { agentId, sha256, bytes }: Content & { readonly bytes?: Buffer },
    { from, to, signal }: DownloadPart,
  ): AsyncGenerator<Uint8Array> {
    const { store, pace } = this.#needs;
    let at = from;
    while (at < to) {
      const index = Math.floor(at / CHUNK_BYTES);
      const chunk =
        bytes?.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES) ??
        (await store.releases.readChunk(sha256, index));
      const start = index * CHUNK_BYTES;
      const end = Math.min(to, start + (chunk?.length ?? 0));
      if (chunk === undefined || end <= at) throw new Error(`the content ${sha256} ends at ${at}`);
      while (at < end) {
        const piece = chunk.subarray(at - start, Math.min(at - start + PIECE_BYTES, end - start));
        await pace.take(agentId, piece.length, signal);
        if (signal.aborted) return;
        at += piece.length;
        yield piece;
      }
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
