// Publishes the revocation lists for other verifiers: one for each generation of the authority, reissued each day and
// after every revocation. Central itself decides by the store, and never passes a list to TLS: one past its nextUpdate
// would refuse every agent (tried).
import { createHash } from 'node:crypto';
import type { CertificateStore } from '../store/certificate-store.ts';
import type { Authority } from './authority/authority.ts';
import { nameLine } from '../../shared/keystore/material.ts';
import { crlPem, makeCrl, maySignLists, type CrlOrder } from './x509/crl.ts';
import { pkiFault } from './errors.ts';
import type { Generation } from './authority/generations.ts';

interface RevocationListsOptions {
  readonly authority: Pick<Authority, 'current' | 'generations'>;
  readonly certificates: Pick<CertificateStore, 'revokedBy'>;
  /** The same clock at all nodes: numbers and dates of lists are those of all of them. */
  readonly now: () => number;
  /** Among all nodes; 0: the first one. */
  readonly place?: (() => number) | undefined;
  /** Other nodes revoke certificates too: each `refresh` looks for what is not on the lists. */
  readonly isShared?: boolean;
}

const DAY_MS = 86_400_000;
/** A verifier that fetches it once a day may miss six. */
const VALID_MS = 7 * DAY_MS;
const PAGE = 1000;
/** Lists of different nodes have different numbers. */
const PLACES = 100;

interface Made {
  readonly at: number;
  /** What is on the lists. */
  readonly content: string;
  readonly lists: ReadonlyMap<string, Buffer>;
  /** All of them; all responses share the buffer. */
  readonly pem: Buffer;
}

export class RevocationLists {
  readonly #options: RevocationListsOptions;
  #made: Made = { at: 0, content: '', lists: new Map(), pem: Buffer.alloc(0) };
  #stale = true;
  #running: Promise<void> | undefined;
  #lastNumber = 0;

  constructor(options: RevocationListsOptions) {
    this.#options = options;
  }

  /** The list of the generation that signs now. Errors: crl_unavailable. */
  async der(): Promise<Buffer> {
    await this.#upToDate();
    const current = this.#options.authority.current();
    const list = this.#made.lists.get(current.id);
    if (list === undefined) throw pkiFault('crl_unavailable', { name: nameLine(current.chain[0].subject) });
    return list;
  }

  /** Those of all generations, that of the current one first. */
  async pem(): Promise<Buffer> {
    await this.#upToDate();
    return this.#made.pem;
  }

  /** A certificate was revoked: the next `refresh` reissues them, that of maintenance at the latest. */
  touch(): void {
    this.#stale = true;
  }

  /** Reissues them after a revocation, when they are a day old, or when another generation signs. */
  async refresh(): Promise<void> {
    // What was revoked while the lists were read may not be in them.
    while (this.#running !== undefined) await this.#running;
    const isDue = this.#isDue();
    if (!isDue && this.#options.isShared !== true) return;
    this.#stale = false;
    this.#running = this.#make(isDue)
      .catch((error: unknown) => {
        this.#stale = true;
        throw error;
      })
      .finally(() => (this.#running = undefined));
    await this.#running;
  }

  /** A new revocation is on the list within a minute; a new generation has a list from the first request on. */
  async #upToDate(): Promise<void> {
    if (
      this.#options.authority.generations().some(({ id, chain }) => !this.#made.lists.has(id) && maySignLists(chain[0]))
    )
      await this.refresh();
  }

  #isDue(): boolean {
    const ids = this.#options.authority
      .generations()
      .filter(({ chain }) => maySignLists(chain[0]))
      .map(({ id }) => id);
    return (
      this.#stale || this.#options.now() - this.#made.at >= DAY_MS || ids.join() !== [...this.#made.lists.keys()].join()
    );
  }

  /** `isDue`: also when they would be the same. */
  async #make(isDue: boolean): Promise<void> {
    const at = this.#options.now();
    const signing = this.#options.authority.generations().filter(({ chain }) => maySignLists(chain[0]));
    const orders: { readonly generation: Generation; readonly entries: CrlOrder['entries'] }[] = [];
    for (const generation of signing) orders.push({ generation, entries: await this.#revokedBy(generation, at) });
    const content = contentOf(orders.map(({ entries }) => entries));
    if (!isDue && content === this.#made.content) return;
    // Never repeats, and grows over restarts and from node to node without being stored.
    const place = (this.#options.place?.() ?? 0) % PLACES;
    this.#lastNumber = Math.max(at * PLACES + place, this.#lastNumber + PLACES);
    const lists = new Map<string, Buffer>();
    for (const { generation, entries } of orders) {
      const [issuer] = generation.chain;
      const dates = { thisUpdate: at, nextUpdate: at + VALID_MS };
      lists.set(generation.id, makeCrl({ issuer, key: generation.key, number: this.#lastNumber, ...dates, entries }));
    }
    this.#made = { at, content, lists, pem: Buffer.from([...lists.values()].map(crlPem).join('')) };
  }

  /** RFC 5280 section 3.3: an entry stays until it was on a list that was issued after its certificate expired. */
  async #revokedBy({ id, formerIds = [] }: Generation, at: number): Promise<CrlOrder['entries']> {
    const entries: CrlOrder['entries'][number][] = [];
    for (const issuer of [id, ...formerIds]) entries.push(...(await this.#revokedUnder(issuer, at)));
    return entries;
  }

  async #revokedUnder(issuer: string, at: number): Promise<CrlOrder['entries']> {
    const entries: CrlOrder['entries'][number][] = [];
    for (let after: string | undefined; ;) {
      const page = await this.#options.certificates.revokedBy({
        issuer,
        endsAfter: at - DAY_MS,
        limit: PAGE,
        ...(after === undefined ? {} : { after }),
      });
      entries.push(...page);
      after = page.at(-1)?.thumbprint;
      if (page.length < PAGE || after === undefined) return entries;
    }
  }
}

function contentOf(lists: readonly CrlOrder['entries'][]): string {
  const hash = createHash('sha256');
  for (const entries of lists) {
    hash.update(`${entries.length};`);
    for (const { serial, revoked } of entries) hash.update(`${serial} ${revoked.reason} ${revoked.at};`);
  }
  return hash.digest('hex');
}
