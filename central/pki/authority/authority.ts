// Keeps Central's certificate authority: its generations (one signs, others are only trusted), and what it signs. It
// never has a private key of an agent. central/enrollment/enrollment.ts decides who gets a certificate, service.ts who
// must trust it before it changes.
import type { KeyObject, X509Certificate } from 'node:crypto';
import { Mutex } from '../../../shared/mutex.ts';
import { pinOf } from '../../../shared/wire/enrollment.ts';
import { agentUri, centralUri, nodeUri, type NodeIdentity } from '../../../shared/wire/names.ts';
import { validityOf } from '../../../shared/x509/validity.ts';
import { auditEntry, CENTRAL, type Actor, type AuditAction } from '../../audit.ts';
import type { KeyMaterialStore } from '../../store/key-material-store.ts';
import {
  alternativeName,
  chainPem,
  commonName,
  makeCertificate,
  privateKeyPem,
  spkiOf,
  thumbprintOf,
} from '../x509/certificate.ts';
import { allowsBelow, signedBy } from '../x509/chain.ts';
import { pkiFault } from '../errors.ts';
import {
  indexEntry,
  isTrusted,
  keyNameOf,
  loadGenerations,
  rootOf,
  type Generation,
  type GenerationRole,
  type Generations,
} from './generations.ts';
import { KeyMaterialSubject } from '../keys/subject.ts';
import { makeKeyPair } from '../x509/key-algorithms.ts';

interface AuthorityOptions {
  readonly keyMaterial: KeyMaterialStore;
  /** Central's name, for the root's subject. */
  readonly central: string;
  /** Of a root that is made here: parameter `authority.lifetimeDays`. */
  readonly lifetimeDays?: () => number;
  readonly now: () => number;
}

/**
 * A key with its chain, the certificate that signs first and its root last; validated by the caller
 * (authority-file.ts).
 */
export type AuthorityMaterial = Pick<Generation, 'key' | 'chain' | 'origin'>;

interface Order {
  readonly publicKey: KeyObject;
  readonly lifetimeDays: number;
}

/** Twenty years: every agent trusts it, and its expiry cuts all of them off. It is rotated long before. */
const ROOT_LIFETIME_DAYS = 20 * 365;
const DAY_MS = 86_400_000;

/** Loads the authority, or creates it when the store has none. Errors: key_material_damaged. */
export async function openAuthority(options: AuthorityOptions): Promise<Authority> {
  const { now } = options;
  const keyMaterial = await KeyMaterialSubject.open(options.keyMaterial, 'authority');
  const loaded = loadGenerations(keyMaterial);
  if (loaded !== undefined) {
    const { generations, entries } = loaded;
    if (entries.length > 0)
      await keyMaterial.put(
        entries,
        auditEntry(CENTRAL, 'ca.record-generations', { thumbprint: generations.firstRoot }, now()),
      );
    return new Authority(options, keyMaterial, generations);
  }
  const material = await makeRoot(options);
  const id = thumbprintOf(material.chain[0]);
  const generations: Generations = { firstRoot: id, list: [{ ...material, id, role: 'current', since: now() }] };
  await keyMaterial.put(
    [indexEntry(generations), { name: keyNameOf(id), value: privateKeyPem(material.key) }],
    auditEntry(CENTRAL, 'ca.create', { thumbprint: id }, now()),
  );
  return new Authority(options, keyMaterial, generations);
}

async function makeRoot(
  { central, now, lifetimeDays = () => ROOT_LIFETIME_DAYS }: AuthorityOptions,
  unit = '',
): Promise<AuthorityMaterial> {
  const { privateKey: key, publicKey } = await makeKeyPair();
  const subject = `${commonName(`Queuegate root of ${central}`)}${unit}, O=Queuegate`;
  const certificate = await makeCertificate({
    profile: 'root',
    subject,
    publicKey,
    lifetimeDays: lifetimeDays(),
    now: now(),
    selfKey: key,
  });
  return { key, chain: [certificate], origin: 'issued' };
}

export class Authority {
  readonly #options: AuthorityOptions;
  readonly #keyMaterial: KeyMaterialSubject;
  #generations: Generations;
  /** One change at a time. */
  readonly #changes = new Mutex();

  constructor(options: AuthorityOptions, keyMaterial: KeyMaterialSubject, generations: Generations) {
    this.#options = options;
    this.#keyMaterial = keyMaterial;
    this.#generations = generations;
  }

  /** Reads the generations again: another node may have changed them. Errors: key_material_damaged. */
  async follow(): Promise<void> {
    await this.#changes.runExclusive(async () => {
      if (!(await this.#keyMaterial.load())) return;
      this.#generations = loadGenerations(this.#keyMaterial)?.generations ?? this.#generations;
    });
  }

  /** All that agents must trust; the current one first. */
  generations(): readonly Generation[] {
    return this.all().filter((generation) => isTrusted(generation));
  }

  /** Includes prepared ones, and retired ones whose key is still kept; the current one first. */
  all(): readonly Generation[] {
    return this.#generations.list.toSorted((a, b) => RANK[a.role] - RANK[b.role] || b.since - a.since);
  }

  /** Newest first. */
  inRole(role: GenerationRole): readonly Generation[] {
    return this.all().filter((generation) => generation.role === role);
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
    return [
      ...new Map(
        this.generations().map((generation) => [thumbprintOf(rootOf(generation)), rootOf(generation)]),
      ).values(),
    ];
  }

  /** Thumbprint of the root that agents without a record are assumed to trust. */
  get firstRoot(): string {
    return this.#generations.firstRoot;
  }

  /** The certificate with its issuers, root last; alone when no generation signed it. */
  chainOf(certificate: X509Certificate): [X509Certificate, ...X509Certificate[]] {
    const issuer = this.generations().find(({ chain }) => signedBy(certificate, chain[0]));
    return [certificate, ...(issuer?.chain ?? [])];
  }

  /**
   * The chain that is shown for a server certificate. While the previous generation is trusted, the chain ends at its
   * root: a client with that root follows the cross-certificate, one with the new root stops before it. (The new root
   * itself must not be sent: OpenSSL would take it for the end of the chain, and not look further.)
   */
  shownChainOf(certificate: X509Certificate): [X509Certificate, ...X509Certificate[]] {
    const cross = this.generations().find(({ chain }) => signedBy(certificate, chain[0]))?.cross;
    const before = cross === undefined ? undefined : this.generations().find(({ chain }) => signedBy(cross, chain[0]));
    return cross === undefined || before === undefined
      ? this.chainOf(certificate)
      : [certificate, cross, ...before.chain];
  }

  /**
   * A server certificate for these host names and addresses; by the current generation unless another is named. Errors:
   * distinguished_name_bad.
   */
  async issueServer(
    order: Order & {
      readonly subject: string;
      readonly names: readonly string[];
      readonly by?: Generation | undefined;
    },
  ): Promise<X509Certificate> {
    const { by = this.current(), subject, publicKey, lifetimeDays } = order;
    return await this.#issue(
      { subject, publicKey, lifetimeDays, profile: 'server', alternativeNames: order.names.map(alternativeName) },
      by,
    );
  }

  /** An agent's certificate: the id is in the URI, the name may change. */
  async issueAgent(order: Order & { readonly id: string; readonly name: string }): Promise<X509Certificate> {
    const uri = { type: 'url', value: agentUri(order.id) } as const;
    return await this.#issue({ ...order, profile: 'agent', subject: commonName(order.name), alternativeNames: [uri] });
  }

  /**
   * The certificate with which a node calls others and is called by them. No agent and no device gets such a URI: an
   * agent's certificate has the URI of its id, a device's only host names and addresses.
   */
  async issueNode(order: Order & { readonly node: NodeIdentity }): Promise<X509Certificate> {
    const uri = { type: 'url', value: nodeUri(order.node) } as const;
    // With a space: a client that reads common names must not take it for the name of a host.
    const subject = commonName(`node ${order.node.name}`);
    return await this.#issue({ ...order, profile: 'node', subject, alternativeNames: [uri] });
  }

  /**
   * A certificate for what Central signs: welcomes, releases. Central's name is in the URI. No TLS endpoint may show
   * it.
   */
  async issueSigning(order: Order & { readonly subject: string }): Promise<X509Certificate> {
    return await this.#issue({
      ...order,
      profile: 'signing',
      alternativeNames: [{ type: 'url', value: centralUri(this.#options.central) }],
    });
  }

  /** A new root, not stored yet: for `prepare`. */
  async makeRoot(): Promise<AuthorityMaterial> {
    // A distinct name, so that people can tell it from the previous one.
    return await makeRoot(this.#options, `, OU=${new Date(this.#options.now()).toISOString().slice(0, 16)}Z`);
  }

  /**
   * Stores it as prepared: no agent trusts it yet. The keys of retired ones are deleted. Errors: authority_known,
   * authority_next_there.
   */
  async prepare(material: AuthorityMaterial, actor: Actor): Promise<Generation> {
    return await this.#changes.runExclusive(async () => {
      const [waiting] = [...this.inRole('prepared'), ...this.inRole('next')];
      if (waiting !== undefined) throw pkiFault('authority_next_there', { thumbprint: waiting.id });
      return await this.#take(material, 'prepared', 'ca.rotation.prepare', actor);
    });
  }

  /**
   * Stores it and lets it sign at once; the current one stays trusted as previous. One that is stored already changes
   * its role. Agents that do not trust it are cut off: the caller has checked. Errors: authority_known.
   */
  async replace(material: AuthorityMaterial, actor: Actor): Promise<Generation> {
    return await this.#changes.runExclusive(async () => await this.#take(material, 'current', 'ca.import', actor));
  }

  /** Lets another generation sign; the current one becomes previous. Errors: authority_unknown. */
  async promote(id: string, actor: Actor): Promise<Generation> {
    return await this.#changes.runExclusive(
      async () => await this.#take(this.#find(id), 'current', 'ca.rotation.switch', actor),
    );
  }

  /**
   * Gives generations other roles, all at once; one of them signs before and after. The audit entry is called `action`.
   * Errors: authority_unknown.
   */
  async assign(roles: Readonly<Record<string, GenerationRole>>, action: AuditAction, actor: Actor): Promise<void> {
    await this.#changes.runExclusive(async () => {
      for (const id of Object.keys(roles)) this.#find(id);
      const since = this.#options.now();
      const list = this.#generations.list.map((generation): Generation => {
        const role = roles[generation.id] ?? generation.role;
        return role === generation.role ? generation : { ...generation, role, since };
      });
      if (list.filter(({ role }) => role === 'current').length !== 1)
        throw new TypeError('one generation signs, no more and no less');
      await this.#write({ ...this.#generations, list }, [], auditEntry(actor, action, { roles }, since));
    });
  }

  /**
   * Makes the certificate of the current root again, with its key and its name, for the present time. `isUsed`: agents
   * without a record still trust the one before.
   */
  async reissueRoot(isUsed: boolean): Promise<Generation> {
    return await this.#changes.runExclusive(async () => {
      const { now, lifetimeDays = () => ROOT_LIFETIME_DAYS } = this.#options;
      const { cross: _signedByAnother, ...before } = this.current();
      const [old] = before.chain;
      const certificate = await makeCertificate({
        profile: 'root',
        subject: old,
        publicKey: old.publicKey,
        lifetimeDays: lifetimeDays(),
        now: now(),
        selfKey: before.key,
      });
      const id = thumbprintOf(certificate);
      const formerIds = [...(before.formerIds ?? []), before.id];
      const reissued: Generation = { ...before, id, chain: [certificate], formerIds, reissuedAt: now() };
      const list = this.#generations.list.map((one) => (one.id === before.id ? reissued : one));
      const firstRoot = isUsed || this.firstRoot !== before.id ? this.firstRoot : id;
      await this.#write(
        { list, firstRoot },
        [
          { name: keyNameOf(id), value: privateKeyPem(before.key) },
          { name: keyNameOf(before.id), value: null },
        ],
        auditEntry(CENTRAL, 'ca.reissue', { thumbprint: id, before: before.id }, now()),
      );
      return reissued;
    });
  }

  /** Deletes it with its key. Errors: authority_unknown, authority_in_use unless it is prepared or retired. */
  async forget(id: string, actor: Actor, action: AuditAction = 'ca.delete-key'): Promise<void> {
    await this.#changes.runExclusive(async () => {
      const { role } = this.#find(id);
      if (role !== 'prepared' && role !== 'retired') throw pkiFault('authority_in_use', { thumbprint: id, role });
      const list = this.#generations.list.filter((generation) => generation.id !== id);
      await this.#write(
        { ...this.#generations, list },
        [{ name: keyNameOf(id), value: null }],
        auditEntry(actor, action, { thumbprint: id, role }, this.#options.now()),
      );
    });
  }

  /**
   * Cross-certifies the key of another generation by the current one: agents that trust only the current one accept the
   * other by it. False where that is impossible: the other is an intermediate, or the current one may not sign
   * authorities. Errors: authority_unknown.
   */
  async certify(id: string, actor: Actor): Promise<boolean> {
    return await this.#changes.runExclusive(async () => {
      const generation = this.#find(id);
      const { chain, key } = this.current();
      const [root] = generation.chain;
      if (generation.chain.length > 1 || !chain.every((certificate, place) => allowsBelow(certificate) > place))
        return false;
      if (generation.cross !== undefined && signedBy(generation.cross, chain[0])) return true;
      const now = this.#options.now();
      const lifetimeDays = (validityOf(root).to.getTime() - now) / DAY_MS;
      const cross = await makeCertificate({
        profile: 'cross',
        subject: root,
        publicKey: root.publicKey,
        lifetimeDays,
        now,
        issuer: { certificate: chain[0], key },
      });
      const list = this.#generations.list.map((one) => (one.id === id ? { ...one, cross } : one));
      await this.#write(
        { ...this.#generations, list },
        [],
        auditEntry(
          actor,
          'ca.rotation.cross-certify',
          { thumbprint: id, by: this.current().id, cross: thumbprintOf(cross) },
          now,
        ),
      );
      return true;
    });
  }

  #find(id: string): Generation {
    const found = this.#generations.list.find((generation) => generation.id === id);
    if (found === undefined) throw pkiFault('authority_unknown', { thumbprint: id });
    return found;
  }

  async #take(
    material: AuthorityMaterial,
    role: 'current' | 'prepared',
    action: AuditAction,
    actor: Actor,
  ): Promise<Generation> {
    const since = this.#options.now();
    const id = thumbprintOf(material.chain[0]);
    const before = this.current().id;
    const there = this.#generations.list.find((generation) => generation.id === id);
    if (there !== undefined && (there.role === 'current' || (role === 'prepared' && there.role !== 'retired')))
      throw pkiFault('authority_known', { thumbprint: id, role: there.role });
    const others = this.#generations.list.filter(
      (generation) => generation.id !== id && !(role === 'prepared' && generation.role === 'retired'),
    );
    const gone = this.#generations.list.filter((generation) => generation.id !== id && !others.includes(generation));
    const stepped =
      role === 'prepared'
        ? others
        : others.map((generation): Generation =>
            generation.role === 'current' ? { ...generation, role: 'previous', since } : generation,
          );
    const taken: Generation = {
      id,
      role,
      since,
      origin: there?.origin ?? material.origin,
      chain: material.chain,
      key: material.key,
      ...(there?.cross === undefined ? {} : { cross: there.cross }),
    };
    const detail = {
      thumbprint: id,
      root: thumbprintOf(rootOf(taken)),
      origin: taken.origin,
      before,
      ...(gone.length === 0 ? {} : { forgotten: gone.map((generation) => generation.id) }),
    };
    const keys = [
      { name: keyNameOf(id), value: privateKeyPem(material.key) },
      ...gone.map((generation) => ({ name: keyNameOf(generation.id), value: null })),
    ];
    await this.#write(
      { ...this.#generations, list: [...stepped, taken] },
      keys,
      auditEntry(actor, action, detail, since),
    );
    return taken;
  }

  async #write(
    generations: Generations,
    keys: readonly { readonly name: string; readonly value: string | null }[],
    audit: ReturnType<typeof auditEntry>,
  ): Promise<void> {
    await this.#keyMaterial.put([indexEntry(generations), ...keys], audit);
    this.#generations = generations;
  }

  async #issue(
    order: Omit<Parameters<typeof makeCertificate>[0], 'now' | 'issuer'>,
    { chain, key }: Generation = this.current(),
  ): Promise<X509Certificate> {
    return await makeCertificate({ ...order, now: this.#options.now(), issuer: { certificate: chain[0], key } });
  }
}

const RANK: Readonly<Record<GenerationRole, number>> = { current: 0, next: 1, prepared: 2, previous: 3, retired: 4 };
