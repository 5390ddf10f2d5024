// Owns Central's server certificate and its key: what is kept, whether it still fits, and the way a new one takes its place.
// A new one is staged (made and checked, nothing written), then swapped into the listeners by whoever calls, then adopted
// (written; the one before is kept). So nothing ever overwrites a working key. Who listens with it is not known here.
import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { textOf } from '../../shared/errors.ts';
import { auditEntry, type Actor } from '../audit.ts';
import type { KeyMaterialStore } from '../store/store.ts';
import type { Authority } from './authority.ts';
import { alternativeName, chainPem, commonName, hostsOf, makeKeyPair, privateKeyPem, readChain, sameDistinguishedName, subjectOf, thumbprintOf } from './certificate.ts';
import { pkiFault } from './errors.ts';

const KEY = 'server.key';
const CHAIN = 'server.chain';
const PREVIOUS_KEY = 'server.previous.key';
const PREVIOUS_CHAIN = 'server.previous.chain';
/** Names under which Central always answers to its own host. */
const OWN_NAMES = ['localhost', '127.0.0.1', '::1'] as const;
/** A new one is made when a third of the lifetime is left: four months of a year, so that a Central that stood still finds time. */
const RENEW_WHEN_LEFT = 1 / 3;
const EXTENDED_USAGE_SERVER = '1.3.6.1.5.5.7.3.1';

/** What a TLS listener needs, and what an administrator sees of it. */
export interface ServerCredentials {
  /** Private key, PEM. */
  readonly key: string;
  /** Leaf first, root last, PEM: the root is sent along so that an enrolling agent can find the pinned key. */
  readonly chain: string;
  /** SHA-256 of the leaf, hex. */
  readonly thumbprint: string;
  readonly subject: string;
  readonly issuer: string;
  /** Host names and addresses it is good for. */
  readonly names: readonly string[];
  readonly notBefore: number;
  readonly notAfter: number;
}

/** What the certificate has to be, from configuration and parameters. */
export interface ServerWishes {
  /** Host names or addresses that agents use (configuration `advertised.names`) and the host's own name. */
  readonly names: readonly string[];
  /** Parameter `certificate.subjectAlternativeNames`. */
  readonly subjectAlternativeNames: readonly string[];
  /** Parameter `certificate.distinguishedName`; empty: CN of the first name. */
  readonly distinguishedName: string;
  /** Parameter `certificate.lifetimeDays`. */
  readonly lifetimeDays: number;
}

export interface ServerIdentity {
  /** The adopted one; undefined before the first `adopt`. */
  current(): ServerCredentials | undefined;
  /**
   * The credentials that fit the wishes: the current ones, the previous ones (so that undoing a change brings them back), or
   * new ones, checked. Writes nothing. Errors: distinguished_name_bad, server_certificate_unfit.
   */
  stage(wishes: ServerWishes): Promise<ServerCredentials>;
  /** Writes staged credentials as the current ones and keeps those before. Does nothing when they are the current ones already. */
  adopt(staged: ServerCredentials, actor: Actor): Promise<void>;
}

export interface ServerIdentityOptions {
  readonly keyMaterial: KeyMaterialStore;
  readonly authority: Authority;
  readonly now: () => number;
}

/** Loads what the store has. Errors: key_material_damaged. */
export async function openServerIdentity({ keyMaterial, authority, now }: ServerIdentityOptions): Promise<ServerIdentity> {
  let current = await load(keyMaterial, KEY, CHAIN);
  let previous = await load(keyMaterial, PREVIOUS_KEY, PREVIOUS_CHAIN);
  return {
    current: () => current,
    async stage(wishes) {
      const names = namesOf(wishes);
      for (const kept of [current, previous]) {
        if (kept !== undefined && fits(kept, wishes, names, now()) && checkServerCredentials(kept, names, authority.certificate, now()).length === 0) return kept;
      }
      const { privateKey, publicKey } = await makeKeyPair();
      const leaf = await authority.issueServer({ subject: subjectFor(wishes), names, publicKey, lifetimeDays: wishes.lifetimeDays });
      const staged = credentialsOf(privateKeyPem(privateKey), chainPem([leaf, authority.certificate]));
      const faults = checkServerCredentials(staged, names, authority.certificate, now());
      if (faults.length > 0) throw pkiFault('server_certificate_unfit', { found: faults.join('; ') });
      return staged;
    },
    async adopt(staged, actor) {
      if (current?.thumbprint === staged.thumbprint) return;
      const entries = [
        { name: KEY, value: staged.key },
        { name: CHAIN, value: staged.chain },
      ];
      if (current !== undefined) entries.push({ name: PREVIOUS_KEY, value: current.key }, { name: PREVIOUS_CHAIN, value: current.chain });
      await keyMaterial.put(entries, auditEntry(actor, 'server-certificate.adopt', { thumbprint: staged.thumbprint, names: staged.names, before: current?.thumbprint ?? null }, now()));
      previous = current;
      current = staged;
    },
  };
}

async function load(keyMaterial: KeyMaterialStore, keyName: string, chainName: string): Promise<ServerCredentials | undefined> {
  const [key, chain] = [await keyMaterial.get(keyName), await keyMaterial.get(chainName)];
  if (key === undefined && chain === undefined) return undefined;
  if (key === undefined || chain === undefined) throw pkiFault('key_material_damaged', { name: key === undefined ? keyName : chainName, found: 'it is missing' });
  try {
    createPrivateKey(key);
    return credentialsOf(key, chain);
  } catch (error) {
    throw pkiFault('key_material_damaged', { name: chainName, found: textOf(error) }, error);
  }
}

function credentialsOf(key: string, chain: string): ServerCredentials {
  const [leaf] = readChain(chain, 'The server certificate');
  return {
    key,
    chain,
    thumbprint: thumbprintOf(leaf),
    subject: subjectOf(leaf),
    issuer: leaf.issuer.replaceAll('\n', ', '),
    names: hostsOf(leaf),
    notBefore: Date.parse(leaf.validFrom),
    notAfter: Date.parse(leaf.validTo),
  };
}

/** Every name the certificate has to stand for, each once, in a fixed order. */
export function namesOf(wishes: ServerWishes): string[] {
  return [...new Set([...wishes.names, ...wishes.subjectAlternativeNames, ...OWN_NAMES].map((name) => canonicalHost(name)))];
}

function subjectFor(wishes: ServerWishes): string {
  return wishes.distinguishedName === '' ? commonName(wishes.names[0] ?? 'localhost') : wishes.distinguishedName;
}

/** One that was made here fits when it says exactly what is wished; a name that was taken off the list must not live on in it. */
function fits(kept: ServerCredentials, wishes: ServerWishes, names: readonly string[], now: number): boolean {
  const has = new Set(kept.names.map(canonicalHost));
  const left = kept.notAfter - now;
  return (
    has.size === names.length &&
    names.every((name) => has.has(name)) &&
    sameDistinguishedName(kept.subject, subjectFor(wishes)) &&
    left > (kept.notAfter - kept.notBefore) * RENEW_WHEN_LEFT
  );
}

/** IPv6 addresses have many spellings; the URL parser knows the one form (RFC 5952). */
function canonicalHost(host: string): string {
  const { value } = alternativeName(host);
  return isIP(value) === 6 ? new URL(`http://[${value}]`).hostname.slice(1, -1) : value;
}

/** All that is wrong with a server certificate, as sentences; empty: it may be used. */
export function checkServerCredentials(credentials: Pick<ServerCredentials, 'key' | 'chain'>, names: readonly string[], root: X509Certificate, now: number): string[] {
  const chain = readChain(credentials.chain, 'The server certificate');
  const [leaf] = chain;
  let key: KeyObject;
  try {
    key = createPrivateKey(credentials.key);
  } catch (error) {
    return [`its private key cannot be read: ${textOf(error)}`];
  }
  const faults: string[] = [];
  if (!leaf.checkPrivateKey(key)) faults.push('the private key is not the key of the certificate');
  const last = chain.at(-1) ?? leaf;
  for (const [i, certificate] of chain.entries()) {
    // The last one has to be vouched for by the root, unless it is the root.
    const issuer = chain[i + 1] ?? root;
    if (certificate !== last || certificate.fingerprint256 !== root.fingerprint256) {
      if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) faults.push(`the certificate "${oneLine(certificate.subject)}" is not signed by the next one, "${oneLine(issuer.subject)}"`);
      if (!issuer.ca) faults.push(`"${oneLine(issuer.subject)}" is no certificate authority`);
    }
    if (Date.parse(certificate.validFrom) > now) faults.push(`"${oneLine(certificate.subject)}" is not valid before ${certificate.validFrom}`);
    if (Date.parse(certificate.validTo) <= now) faults.push(`"${oneLine(certificate.subject)}" expired on ${certificate.validTo}`);
  }
  // Node gives `keyUsage` as the OIDs of the extended key usage; without that extension any use is allowed (RFC 5280 section 4.2.1.12).
  if (leaf.keyUsage !== undefined && !leaf.keyUsage.includes(EXTENDED_USAGE_SERVER)) faults.push('it may not be used by a server (extended key usage)');
  if (leaf.ca) faults.push('it is the certificate of an authority, not of a server');
  const uncovered = names.filter((name) => !covers(leaf, name));
  if (uncovered.length > 0) faults.push(`it does not stand for ${uncovered.join(', ')}; it stands for ${hostsOf(leaf).join(', ')}`);
  return faults;
}

/** True when a TLS client that dialled `host` would accept the certificate's names. */
export function covers(certificate: X509Certificate, host: string): boolean {
  const { type, value } = alternativeName(host);
  return (type === 'ip' ? certificate.checkIP(value) : certificate.checkHost(value)) !== undefined;
}

function oneLine(name: string): string {
  return name.replaceAll('\n', ', ');
}
