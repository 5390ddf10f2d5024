// Keeps Central's server certificate and its key: which one is current, whether it still fits, and how a new one
// replaces it. A new one is checked, then swapped into the listeners by the caller, then adopted (written; the one
// before is kept), so that nothing ever overwrites a working key. Listeners are not known here.
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { auditEntry, CENTRAL, type Actor, type AuditAction } from '../../audit.ts';
import type { PendingChange } from '../../change/pending.ts';
import type { KeyMaterialStore } from '../../store/key-material-store.ts';
import type { Authority } from '../authority/authority.ts';
import { chainPem, commonName, makeServerRequest, thumbprintOf } from '../x509/certificate.ts';
import { sameDistinguishedName } from '../x509/distinguished-name.ts';
import { buildChain, CertificateFaults, signedBy } from '../x509/chain.ts';
import { KeyMaterialSubject } from '../keys/subject.ts';
import { makeKeyPair, type KeyKind } from '../x509/key-algorithms.ts';
import type { Generation } from '../authority/generations.ts';
import { canonicalHost, serverFaults, uncoveredNames } from './validate.ts';
import {
  chainOf,
  credentialsFrom,
  loadSlots,
  rootOfCredentials,
  slotEntries,
  type ServerCredentials,
  type Slots,
} from './slots.ts';

/** Names by which programs on its own host reach Central. */
const OWN_NAMES = ['localhost', '127.0.0.1', '::1'] as const;
/**
 * A new one is made when a third of the lifetime is left: four months of a year, so that a Central that was down for
 * long still renews in time.
 */
const RENEW_WHEN_LEFT = 1 / 3;

/** What the certificate has to be, from configuration and parameters. */
export interface ServerCertificateSpec {
  /** Host names or addresses that agents use (configuration `advertised.names`) and the host's own name. */
  readonly names: readonly string[];
  /** Those of them that agents use; absent: all. */
  readonly advertised?: readonly string[];
  /** Parameter `certificate.subjectAlternativeNames`. */
  readonly subjectAlternativeNames: readonly string[];
  /** Parameter `certificate.distinguishedName`; empty: CN of the first name. */
  readonly distinguishedName: string;
  /** Parameter `certificate.lifetimeDays`. */
  readonly lifetimeDays: number;
  /** All nodes show one certificate: it has the host names of each, and the first name of one of them. */
  readonly isShared?: boolean;
}

interface ServerIdentityOptions {
  readonly keyMaterial: KeyMaterialStore;
  readonly authority: Authority;
  /** A change that was not confirmed before this start was rolled back. */
  readonly onRolledBack?: (pending: PendingChange) => void;
  /** Several nodes share the store: a change that waits for its confirmation goes on without the node that made it. */
  readonly isShared?: boolean;
  readonly now: () => number;
}

/**
 * Loads the certificates. A pending change is rolled back: the connections that could have confirmed it are gone. Of
 * several nodes the one that leads does it, at its deadline.
 * Errors: key_material_damaged.
 */
export async function openServerIdentity(options: ServerIdentityOptions): Promise<ServerIdentity> {
  const keyMaterial = await KeyMaterialSubject.open(options.keyMaterial, 'server');
  const identity = new ServerIdentity(options, keyMaterial, loadSlots(keyMaterial));
  const { pending } = identity.slots;
  if (pending === undefined || options.isShared === true) return identity;
  await identity.rollBack(CENTRAL, 'Central started again before it was confirmed');
  options.onRolledBack?.(pending);
  return identity;
}

/** The verbs that issue or bring a server certificate. */
export type IssueVerb = 'import' | 'install' | 'issue';

export class ServerIdentity {
  readonly #options: ServerIdentityOptions;
  readonly #keyMaterial: KeyMaterialSubject;
  #slots: Slots;

  constructor(options: ServerIdentityOptions, keyMaterial: KeyMaterialSubject, slots: Slots) {
    this.#options = options;
    this.#keyMaterial = keyMaterial;
    this.#slots = slots;
  }

  get slots(): Slots {
    return this.#slots;
  }

  /** Another node may have changed the certificates. Errors: key_material_damaged. */
  async follow(): Promise<void> {
    if (await this.#keyMaterial.load()) this.#slots = loadSlots(this.#keyMaterial);
  }

  /** The adopted one; undefined before the first `adopt`. */
  current(): ServerCredentials | undefined {
    return this.#slots.current;
  }

  /**
   * What Central is, was before, and is to be reached by: the names of each certificate that is kept. No one else may have
   * a certificate for them.
   */
  names(): string[] {
    const { current, previous, staged } = this.#slots;
    return [current, previous, staged].flatMap((kept) => kept?.names ?? []);
  }

  /**
   * The credentials to show: one from elsewhere until it expires, whatever the spec; else one of our own that fits the
   * spec, the current or previous one or a new one. Writes nothing. Errors: distinguished_name_bad,
   * server_certificate_unfit.
   */
  async fitting(spec: ServerCertificateSpec): Promise<ServerCredentials> {
    const { current, previous } = this.#slots;
    if (current !== undefined && current.origin !== 'issued' && current.notAfter > this.#options.now()) return current;
    for (const kept of [current, previous]) if (kept !== undefined && this.#fits(kept, spec)) return kept;
    return await this.make(spec);
  }

  /** As `fitting`, for a change of the spec: one from elsewhere must contain the names that are needed now. */
  async stage(spec: ServerCertificateSpec): Promise<ServerCredentials> {
    const staged = await this.fitting(spec);
    if (staged.origin === 'issued') return staged;
    const uncovered = uncoveredNames(chainOf(staged)[0], namesToCover(spec));
    if (uncovered.length > 0)
      throw new CertificateFaults('server_certificate_unfit', [
        {
          fault: 'names_missing',
          text: `the one in use was not made by Central's authority, and does not contain ${uncovered.join(', ')}`,
        },
      ]);
    return staged;
  }

  /**
   * A new one by the current generation of the authority, or the one that is named; checked. Errors:
   * distinguished_name_bad, server_certificate_unfit.
   */
  async make(spec: ServerCertificateSpec, by?: Generation): Promise<ServerCredentials> {
    const { authority } = this.#options;
    const { current } = this.#slots;
    const ofOthers = spec.isShared === true && current?.origin === 'issued' ? current.names : [];
    const names = [...new Set([...namesOf(spec), ...ofOthers.map(canonicalHost)])];
    const { privateKey, publicKey } = await makeKeyPair();
    const leaf = await authority.issueServer({
      subject: subjectFor(spec),
      names,
      publicKey,
      lifetimeDays: spec.lifetimeDays,
      by,
    });
    const chain = authority.shownChainOf(leaf);
    const faults = serverFaults({
      key: privateKey,
      built: buildChain(leaf, chain, []),
      names,
      now: this.#options.now(),
    });
    if (faults.length > 0) throw new CertificateFaults('server_certificate_unfit', faults);
    return credentialsFrom(privateKey, chain, 'issued');
  }

  /**
   * A request for another authority. Its key stays here until the answer arrives; an earlier request is forgotten.
   * Errors: distinguished_name_bad.
   */
  async request(spec: ServerCertificateSpec, kind: KeyKind, actor: Actor): Promise<string> {
    const keys = await makeKeyPair(kind);
    // Public authorities sign no localhost and no loopback address: only what others use.
    const names = namesToCover(spec);
    const csr = await makeServerRequest({ subject: subjectFor(spec), names, keys });
    const request = { csr, key: keys.privateKey, madeAt: this.#options.now() };
    await this.#write({ ...this.#slots, request }, actor, 'server-certificate.request.create', {
      subject: subjectFor(spec),
      names,
      key: kind,
    });
    return csr;
  }

  /** Forgets the open request and its key. */
  async discardRequest(actor: Actor): Promise<void> {
    const { request } = this.#slots;
    if (request === undefined) return;
    const detail = { createdAt: new Date(request.madeAt).toISOString() };
    await this.#write({ ...this.#slots, request: undefined }, actor, 'server-certificate.request.delete', detail);
  }

  /**
   * Writes credentials as the current ones and keeps those before. Does nothing when they are the current ones already.
   */
  async adopt(
    next: ServerCredentials,
    actor: Actor,
    how: {
      /** What it is called in the audit log; `renew` is what Central does on its own. */
      readonly verb?: IssueVerb | 'activate' | 'renew';
      readonly pending?: PendingChange | undefined;
    } = {},
  ): Promise<void> {
    const { current, staged, request } = this.#slots;
    if (current?.thumbprint === next.thumbprint) return;
    const answered = request !== undefined && isKeyOf(next, request.key);
    const slots = {
      current: next,
      previous: current,
      staged: staged?.thumbprint === next.thumbprint ? undefined : staged,
      request: answered ? undefined : request,
      pending: how.pending,
    };
    const detail = {
      thumbprint: next.thumbprint,
      origin: next.origin,
      names: next.names,
      before: current?.thumbprint ?? null,
      confirm: how.pending?.terms ?? null,
      staged: false,
    };
    await this.#write(slots, actor, `server-certificate.${how.verb ?? 'renew'}`, detail);
  }

  /** Keeps credentials for a later activation. */
  async keepStaged(staged: ServerCredentials, actor: Actor, verb: IssueVerb): Promise<void> {
    const detail = { thumbprint: staged.thumbprint, origin: staged.origin, names: staged.names, staged: true };
    await this.#write({ ...this.#slots, staged }, actor, `server-certificate.${verb}`, detail);
  }

  /** Forgets what is staged. */
  async discardStaged(actor: Actor): Promise<void> {
    const { staged } = this.#slots;
    if (staged === undefined) return;
    const detail = { slot: 'staged', thumbprint: staged.thumbprint };
    await this.#write({ ...this.#slots, staged: undefined }, actor, 'server-certificate.discard', detail);
  }

  /** Keeps the pending change. */
  async confirm(actor: Actor, forced: boolean): Promise<void> {
    await this.#write({ ...this.#slots, pending: undefined }, actor, 'changes.confirm', {
      change: this.#slots.pending?.id,
      subject: 'server-certificate',
      thumbprint: this.#slots.current?.thumbprint,
      forced,
    });
  }

  /**
   * Restores the one before as the current one. One that has expired meanwhile is not restored: no agent would accept
   * it.
   */
  async rollBack(actor: Actor, reason: string): Promise<void> {
    const { current, previous } = this.#slots;
    const restored = previous !== undefined && previous.notAfter > this.#options.now();
    const slots = { ...this.#slots, pending: undefined, ...(restored ? { current: previous, previous: current } : {}) };
    await this.#write(slots, actor, 'changes.rollback', {
      change: this.#slots.pending?.id,
      subject: 'server-certificate',
      thumbprint: slots.current?.thumbprint,
      before: current?.thumbprint,
      reason,
      restored,
    });
  }

  /**
   * Forgets the previous one of our own when its root is no longer trusted: restoring it would publish that root again.
   */
  async dropUntrusted(): Promise<void> {
    const { previous } = this.#slots;
    if (previous === undefined || previous.origin !== 'issued') return;
    const root = thumbprintOf(rootOfCredentials(previous));
    if (this.#options.authority.roots().some((one) => thumbprintOf(one) === root)) return;
    await this.#write({ ...this.#slots, previous: undefined }, CENTRAL, 'server-certificate.discard', {
      slot: 'previous',
      thumbprint: previous.thumbprint,
      root,
    });
  }

  /**
   * One that was made here fits when it matches the spec exactly: a name that was removed from the list must not stay
   * in it.
   */
  #fits(kept: ServerCredentials, spec: ServerCertificateSpec): boolean {
    if (kept.origin !== 'issued') return false;
    const now = this.#options.now();
    const [names, has] = [namesOf(spec), new Set(kept.names.map(canonicalHost))];
    const [leaf] = chainOf(kept);
    return (
      (has.size === names.length || spec.isShared === true) &&
      names.every((name) => has.has(name)) &&
      ((spec.isShared === true && spec.distinguishedName === '') ||
        sameDistinguishedName(kept.subject, subjectFor(spec))) &&
      kept.notBefore <= now &&
      kept.notAfter - now > (kept.notAfter - kept.notBefore) * RENEW_WHEN_LEFT &&
      signedBy(leaf, this.#options.authority.certificate) &&
      // It ends at another root when the authority changes, though the same one signed it.
      kept.chain === chainPem(this.#options.authority.shownChainOf(leaf))
    );
  }

  async #write(
    next: Slots,
    actor: Actor,
    action: AuditAction,
    detail: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    await this.#keyMaterial.put(slotEntries(next, this.#slots), auditEntry(actor, action, detail, this.#options.now()));
    this.#slots = next;
  }
}

/** Every name that a certificate of our own has, each once, in a fixed order. */
function namesOf(spec: ServerCertificateSpec): string[] {
  return [
    ...new Set([...spec.names, ...spec.subjectAlternativeNames, ...OWN_NAMES].map((name) => canonicalHost(name))),
  ];
}

/** The names that others use, which one from elsewhere must contain. */
export function namesToCover(spec: ServerCertificateSpec): string[] {
  return [
    ...new Set(
      [...(spec.advertised ?? spec.names), ...spec.subjectAlternativeNames].map((name) => canonicalHost(name)),
    ),
  ];
}

function subjectFor(spec: ServerCertificateSpec): string {
  return spec.distinguishedName === '' ? commonName(spec.names[0] ?? 'localhost') : spec.distinguishedName;
}

function isKeyOf({ key }: ServerCredentials, other: KeyObject): boolean {
  return createPrivateKey(key).equals(other);
}
