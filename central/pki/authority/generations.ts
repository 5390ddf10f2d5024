// Reads and writes the generations of the authority in the store: one index with their chains and roles, and an
// encrypted key for each. What they sign is authority.ts's.
import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { textOf } from '../../../shared/errors.ts';
import { isRecord } from '../../../shared/wire/json-schema.ts';
import { validityOf } from '../../../shared/x509/validity.ts';
import type { KeyMaterialEntry } from '../../store/key-material-store.ts';
import type { KeyMaterialSubject } from '../keys/subject.ts';
import { chainPem, privateKeyPem, readChain, thumbprintOf } from '../x509/certificate.ts';
import { pkiFault } from '../errors.ts';

const GENERATION_ROLES = ['prepared', 'next', 'current', 'previous', 'retired'] as const;
/**
 * In the order of a lifetime: prepared is known to Central alone; next is trusted by agents and does not sign yet;
 * current signs; previous no longer signs, and what it signed is still trusted; retired is no longer trusted, its key
 * is kept for a rollback.
 */
export type GenerationRole = (typeof GENERATION_ROLES)[number];

export interface Generation {
  /** SHA-256 of the certificate that signs, lower-case hex. */
  readonly id: string;
  readonly role: GenerationRole;
  /** Since when it has this role. */
  readonly since: number;
  readonly origin: 'issued' | 'imported';
  /** The certificate that signs first, its root last; one and the same for a root. */
  readonly chain: readonly [X509Certificate, ...X509Certificate[]];
  readonly key: KeyObject;
  /**
   * This root's own key, certified by the generation before it: an agent that trusts only that one accepts this one by
   * it.
   */
  readonly cross?: X509Certificate;
  /** Of the same key, before it was reissued. */
  readonly formerIds?: readonly string[];
  readonly reissuedAt?: number;
}

export interface Generations {
  readonly list: readonly Generation[];
  /** Thumbprint of the root that agents without a record are assumed to trust. */
  readonly firstRoot: string;
}

const INDEX = 'authority.generations';
/** Names under which the first version stored its one authority. */
const OLD_CERTIFICATE = 'authority.certificate';
const OLD_KEY = 'authority.key';

export function rootOf({ chain }: Pick<Generation, 'chain'>): X509Certificate {
  return chain.at(-1) ?? chain[0];
}

/** Roles that agents must trust: neither those that only Central knows yet, nor those out of use. */
export function isTrusted({ role }: Pick<Generation, 'role'>): boolean {
  return role === 'next' || role === 'current' || role === 'previous';
}

export function keyNameOf(id: string): string {
  return `authority.${id}.key`;
}

/**
 * The stored generations; undefined before the first start. `entries` convert them to today's form where needed.
 * Errors: key_material_damaged.
 */
export function loadGenerations(
  keyMaterial: KeyMaterialSubject,
): { readonly generations: Generations; readonly entries: readonly KeyMaterialEntry[] } | undefined {
  const text = keyMaterial.get(INDEX);
  if (text !== undefined) return { generations: readIndex(text, keyMaterial), entries: [] };
  const names = keyMaterial.names();
  if (names.length === 0) return undefined;
  return readOld(names, keyMaterial);
}

/** The index as it is written. */
export function indexEntry({ list, firstRoot }: Generations): KeyMaterialEntry {
  const generations = list.map(({ id, role, since, origin, chain, cross, formerIds, reissuedAt }) => ({
    id,
    role,
    since,
    origin,
    chain: chainPem(chain),
    ...(cross === undefined ? {} : { cross: chainPem([cross]) }),
    ...(formerIds === undefined ? {} : { formerIds, reissuedAt }),
  }));
  return { name: INDEX, value: JSON.stringify({ firstRoot, generations }) };
}

function readIndex(text: string, keyMaterial: KeyMaterialSubject): Generations {
  const index: unknown = parse(text);
  const rows = isRecord(index) && Array.isArray(index['generations']) ? (index['generations'] as unknown[]) : undefined;
  if (!isRecord(index) || rows === undefined || typeof index['firstRoot'] !== 'string')
    throw damaged(INDEX, 'it is not a list of generations');
  const list: Generation[] = [];
  for (const row of rows) {
    if (
      !isRecord(row) ||
      typeof row['id'] !== 'string' ||
      typeof row['chain'] !== 'string' ||
      typeof row['since'] !== 'number'
    )
      throw damaged(INDEX, 'an entry of it cannot be read');
    const role = GENERATION_ROLES.find((known) => known === row['role']);
    if (role === undefined) throw damaged(INDEX, `it names the role ${String(row['role'])}`);
    const chain = chainOf(INDEX, row['chain']);
    if (thumbprintOf(chain[0]) !== row['id']) throw damaged(INDEX, 'a certificate in it is not the one it names');
    const key = readKey(keyNameOf(row['id']), chain[0], keyMaterial);
    const cross = typeof row['cross'] === 'string' ? { cross: chainOf(INDEX, row['cross'])[0] } : {};
    list.push({
      id: row['id'],
      role,
      since: row['since'],
      origin: row['origin'] === 'imported' ? 'imported' : 'issued',
      chain,
      key,
      ...cross,
      ...formerOf(row),
    });
  }
  if (list.filter(({ role }) => role === 'current').length !== 1)
    throw damaged(INDEX, 'it has no current generation, or more than one');
  return { list, firstRoot: index['firstRoot'] };
}

function formerOf(row: Readonly<Record<string, unknown>>): Pick<Generation, 'formerIds' | 'reissuedAt'> {
  const { formerIds, reissuedAt } = row;
  if (!Array.isArray(formerIds) || typeof reissuedAt !== 'number') return {};
  return { formerIds: formerIds.filter((id) => typeof id === 'string'), reissuedAt };
}

/**
 * A key without its certificate, or the reverse, is damage, not a first start: a new root would cut off every agent.
 */
function readOld(
  names: readonly string[],
  keyMaterial: KeyMaterialSubject,
): { generations: Generations; entries: KeyMaterialEntry[] } {
  const certificate = keyMaterial.get(OLD_CERTIFICATE);
  if (certificate === undefined) throw damaged(names.includes(OLD_KEY) ? OLD_CERTIFICATE : INDEX, 'it is missing');
  const chain = chainOf(OLD_CERTIFICATE, certificate);
  const key = readKey(OLD_KEY, chain[0], keyMaterial);
  const id = thumbprintOf(chain[0]);
  const generations: Generations = {
    firstRoot: id,
    list: [{ id, role: 'current', since: validityOf(chain[0]).from.getTime(), origin: 'issued', chain, key }],
  };
  const entries = [
    indexEntry(generations),
    { name: keyNameOf(id), value: privateKeyPem(key) },
    { name: OLD_CERTIFICATE, value: null },
    { name: OLD_KEY, value: null },
  ];
  return { generations, entries };
}

function readKey(name: string, certificate: X509Certificate, keyMaterial: KeyMaterialSubject): KeyObject {
  const pem = keyMaterial.get(name);
  if (pem === undefined) throw damaged(name, 'it is missing');
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (error) {
    throw damaged(name, textOf(error), error);
  }
  if (!certificate.checkPrivateKey(key)) throw damaged(name, 'it is not the key of the certificate');
  return key;
}

function chainOf(name: string, pem: string): [X509Certificate, ...X509Certificate[]] {
  try {
    return readChain(pem, name);
  } catch (error) {
    throw damaged(name, textOf(error), error);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw damaged(INDEX, 'it is not JSON', error);
  }
}

function damaged(name: string, found: string, cause?: unknown): Error {
  return pkiFault('key_material_damaged', { name, found }, cause);
}
