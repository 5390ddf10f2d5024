// Owns Central's certificate authority: its generations (one signs, others are only trusted), and what it signs. It keeps no
// agent's private key and never makes one; who may have a certificate is decided in enrolment.ts, who must trust it before
// it changes in authority-service.ts.
import type { KeyObject, X509Certificate } from 'node:crypto';
import { pinOf } from '../../shared/wire/enrolment.ts';
import { agentUri, centralUri } from '../../shared/wire/names.ts';
import { auditEntry, CENTRAL, type Actor, type Reason } from '../audit.ts';
import type { KeyMaterialStore } from '../store/store.ts';
import { alternativeName, chainPem, commonName, makeCertificate, privateKeyPem, spkiOf, thumbprintOf } from './certificate.ts';
import { signedBy } from './chain.ts';
import { pkiFault } from './errors.ts';
import { indexEntry, keyNameOf, loadGenerations, rootOf, type Generation, type GenerationRole, type Generations } from './generations.ts';
import { makeKeyPair } from './key-algorithms.ts';

export interface AuthorityOptions {
  readonly keyMaterial: KeyMaterialStore;
  /** Central's name, for the root's subject. */
  readonly central: string;
  /** Of a root that is made here: parameter `authority.lifetimeDays`. */
  readonly lifetimeDays?: () => number;
  readonly now: () => number;
}

/** A key with its chain, the certificate that signs first and its root last; checked by whoever brings it (authority-file.ts). */
export type AuthorityMaterial = Pick<Generation, 'key' | 'chain' | 'origin'>;

interface Order {
  readonly publicKey: KeyObject;
  readonly lifetimeDays: number;
}

/** Twenty years: every agent trusts by it, and an authority that expires takes all of them along. Rotation comes long before. */
export const ROOT_LIFETIME_DAYS = 20 * 365;

/** Loads the authority, or makes it when the store has none. Errors: key_material_damaged. */
export async function openAuthority(options: AuthorityOptions): Promise<Authority> {
  const { keyMaterial, now } = options;
  const loaded = await loadGenerations(keyMaterial);
  if (loaded !== undefined) {
    const { generations, entries } = loaded;
    if (entries.length > 0) await keyMaterial.put(entries, auditEntry(CENTRAL, 'authority.generations', { thumbprint: generations.firstRoot }, now()));
    return new Authority(options, generations);
  }
  const material = await makeRoot(options);
  const id = thumbprintOf(material.chain[0]);
  const generations: Generations = { firstRoot: id, list: [{ ...material, id, role: 'current', since: now() }] };
  await keyMaterial.put([indexEntry(generations), { name: keyNameOf(id), value: privateKeyPem(material.key) }], auditEntry(CENTRAL, 'authority.create', { thumbprint: id }, now()));
  return new Authority(options, generations);
}

async function makeRoot({ central, now, lifetimeDays = () => ROOT_LIFETIME_DAYS }: AuthorityOptions): Promise<AuthorityMaterial> {
  const { privateKey: key, publicKey } = await makeKeyPair();
  const subject = `${commonName(`Queuegate root of ${central}`)}, O=Queuegate`;
  const certificate = await makeCertificate({ profile: 'root', subject, publicKey, lifetimeDays: lifetimeDays(), now: now(), selfKey: key });
  return { key, chain: [certificate], origin: 'made' };
}

export class Authority {
  readonly #options: AuthorityOptions;
  #generations: Generations;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: AuthorityOptions, generations: Generations) {
    this.#options = options;
    this.#generations = generations;
  }

  /** All that agents are to trust and that is not retired yet; the current one first. */
  generations(): readonly Generation[] {
    return this.#generations.list.toSorted((a, b) => RANK[a.role] - RANK[b.role] || b.since - a.since);
  }

  /** The one that signs. */
  current(): Generation {
    const current = this.#generations.list.find(({ role }) => role === 'current');
    if (current === undefined) throw new TypeError('there is always a current generation');
    return current;
  }

  /** The certificate that signs. */
  get certificate(): X509Certificate {
    return this.current().chain[0];
  }

  /** The roots of all generations as PEM, that of the current one first. */
  get pem(): string {
    return chainPem(this.roots());
  }

  /** `sha256:<hex>` over the public key of the current root. */
  get pin(): string {
    return pinOf(spkiOf(rootOf(this.current()).publicKey));
  }

  /** The roots of all generations, each once, that of the current one first. */
  roots(): X509Certificate[] {
    return [...new Map(this.generations().map((generation) => [thumbprintOf(rootOf(generation)), rootOf(generation)])).values()];
  }

  /** Thumbprint of the root that agents without a record are taken to trust. */
  get firstRoot(): string {
    return this.#generations.firstRoot;
  }

  /** The certificate with what vouches for it, root last; alone when no generation signed it. */
  chainOf(certificate: X509Certificate): [X509Certificate, ...X509Certificate[]] {
    const issuer = this.generations().find(({ chain }) => signedBy(certificate, chain[0]));
    return [certificate, ...(issuer?.chain ?? [])];
  }

  /** A server certificate for these host names and addresses. Errors: distinguished_name_bad. */
  async issueServer(order: Order & { readonly subject: string; readonly names: readonly string[] }): Promise<X509Certificate> {
    return await this.#issue({ ...order, profile: 'server', alternativeNames: order.names.map(alternativeName) });
  }

  /** An agent's certificate: the id stands in the URI, the name may change. */
  async issueAgent(order: Order & { readonly id: string; readonly name: string }): Promise<X509Certificate> {
    const uri = { type: 'url', value: agentUri(order.id) } as const;
    return await this.#issue({ ...order, profile: 'agent', subject: commonName(order.name), alternativeNames: [uri] });
  }

  /** A certificate for what Central signs: welcomes, releases. Central's name stands in the URI. No TLS endpoint may show it. */
  async issueSigning(order: Order & { readonly subject: string }): Promise<X509Certificate> {
    return await this.#issue({ ...order, profile: 'signing', alternativeNames: [{ type: 'url', value: centralUri(this.#options.central) }] });
  }

  /** A root of its own, kept nowhere yet: for `prepare`. */
  async makeRoot(): Promise<AuthorityMaterial> {
    return await makeRoot(this.#options);
  }

  /** Takes it in as next: agents are to trust it from now on, and it signs nothing yet. Errors: authority_known, authority_next_there. */
  async prepare(material: AuthorityMaterial, actor: Actor, reason: Reason = {}): Promise<Generation> {
    return await this.#alone(async () => {
      const next = this.#generations.list.find(({ role }) => role === 'next');
      if (next !== undefined) throw pkiFault('authority_next_there', { thumbprint: next.id });
      return await this.#take(material, 'next', 'authority.prepare', actor, reason);
    });
  }

  /**
   * Takes it in and lets it sign at once; the one before is trusted on as previous. One that is here already, next or previous,
   * takes its turn. Who does not trust it is cut off: whoever calls has looked. Errors: authority_known.
   */
  async replace(material: AuthorityMaterial, actor: Actor, reason: Reason = {}): Promise<Generation> {
    return await this.#alone(async () => await this.#take(material, 'current', 'authority.replace', actor, reason));
  }

  /** Lets a next or previous generation sign; the current one becomes previous. Errors: authority_unknown. */
  async promote(id: string, actor: Actor, reason: Reason = {}): Promise<Generation> {
    return await this.#alone(async () => await this.#take(this.#find(id), 'current', 'authority.promote', actor, reason));
  }

  /** Takes one that does not sign out, key and all: nothing it signed is trusted any more. Errors: authority_unknown, authority_current. */
  async retire(id: string, actor: Actor, reason: Reason = {}): Promise<void> {
    await this.#alone(async () => {
      const { role } = this.#find(id);
      if (role === 'current') throw pkiFault('authority_current', { thumbprint: id });
      const list = this.#generations.list.filter((generation) => generation.id !== id);
      await this.#write({ ...this.#generations, list }, [{ name: keyNameOf(id), value: null }], auditEntry(actor, 'authority.retire', { thumbprint: id, role }, this.#options.now(), reason));
    });
  }

  #find(id: string): Generation {
    const found = this.#generations.list.find((generation) => generation.id === id);
    if (found === undefined) throw pkiFault('authority_unknown', { thumbprint: id });
    return found;
  }

  async #take(material: AuthorityMaterial, role: 'current' | 'next', action: string, actor: Actor, reason: Reason): Promise<Generation> {
    const since = this.#options.now();
    const id = thumbprintOf(material.chain[0]);
    const before = this.current().id;
    const there = this.#generations.list.find((generation) => generation.id === id);
    if (there !== undefined && (there.role === 'current' || role === 'next')) throw pkiFault('authority_known', { thumbprint: id, role: there.role });
    const others = this.#generations.list.filter((generation) => generation.id !== id);
    const stepped = role === 'next' ? others : others.map((generation): Generation => (generation.role === 'current' ? { ...generation, role: 'previous', since } : generation));
    const taken: Generation = { id, role, since, origin: there?.origin ?? material.origin, chain: material.chain, key: material.key };
    const detail = { thumbprint: id, root: thumbprintOf(rootOf(taken)), origin: taken.origin, before };
    const keys = [{ name: keyNameOf(id), value: privateKeyPem(material.key) }];
    await this.#write({ ...this.#generations, list: [...stepped, taken] }, keys, auditEntry(actor, action, detail, since, reason));
    return taken;
  }

  async #write(generations: Generations, keys: readonly { readonly name: string; readonly value: string | null }[], audit: ReturnType<typeof auditEntry>): Promise<void> {
    await this.#options.keyMaterial.put([indexEntry(generations), ...keys], audit);
    this.#generations = generations;
  }

  async #issue(order: Omit<Parameters<typeof makeCertificate>[0], 'now' | 'issuer'>): Promise<X509Certificate> {
    const { chain, key } = this.current();
    return await makeCertificate({ ...order, now: this.#options.now(), issuer: { certificate: chain[0], key } });
  }

  /** One change after the other. */
  async #alone<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(act);
    // The next in the queue comes in any case; the error is this caller's.
    this.#queue = turn.catch(() => {});
    return await turn;
  }
}

const RANK: Readonly<Record<GenerationRole, number>> = { current: 0, next: 1, previous: 2 };
