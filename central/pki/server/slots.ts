// Reads and writes Central's server certificates in the store: current, previous and staged, each with its key; the key
// of an open request; and the mark of a pending change.
import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { textOf } from '../../../shared/errors.ts';
import { isRecord } from '../../../shared/wire/json-schema.ts';
import { pinOf } from '../../../shared/wire/enrollment.ts';
import { validityOf } from '../../../shared/x509/validity.ts';
import type { PendingChange } from '../../change/pending.ts';
import type { KeyMaterialEntry } from '../../store/key-material-store.ts';
import type { KeyMaterialSubject } from '../keys/subject.ts';
import { chainPem, hostsOf, privateKeyPem, readChain, spkiOf, subjectOf, thumbprintOf } from '../x509/certificate.ts';
import { pkiFault } from '../errors.ts';

/**
 * made: by our authority, and renewed automatically. signed: by another authority, on our request. imported: with its
 * key.
 */
export type ServerOrigin = 'issued' | 'signed' | 'imported';

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
  readonly origin: ServerOrigin;
}

/** A request that another authority is to answer. Its key never leaves the store. */
interface OpenRequest {
  readonly csr: string;
  readonly key: KeyObject;
  readonly madeAt: number;
}

export interface Slots {
  readonly current: ServerCredentials | undefined;
  readonly previous: ServerCredentials | undefined;
  readonly staged: ServerCredentials | undefined;
  readonly request: OpenRequest | undefined;
  readonly pending: PendingChange | undefined;
}

type Slot = 'current' | 'previous' | 'staged';

const PREFIX: Readonly<Record<Slot, string>> = {
  current: 'server',
  previous: 'server.previous',
  staged: 'server.staged',
};
const REQUEST_KEY = 'server.request.key';
const REQUEST = 'server.request.csr';
const PENDING = 'server.pending';

const UNREADABLE: PendingChange = {
  id: 'unknown',
  owner: { who: 'unknown', from: 'unknown', node: 'unknown' },
  expiresAt: 0,
  terms: '{}',
};

/** Errors: key_material_damaged. */
export function loadSlots(keyMaterial: KeyMaterialSubject): Slots {
  return {
    current: loadSlot(keyMaterial, PREFIX.current),
    previous: loadSlot(keyMaterial, PREFIX.previous),
    staged: loadSlot(keyMaterial, PREFIX.staged),
    request: loadRequest(keyMaterial),
    pending: readPending(keyMaterial.get(PENDING)),
  };
}

/** The entries to write so that the store has `next` in place of `before`. */
export function slotEntries(next: Slots, before: Slots): KeyMaterialEntry[] {
  const entries: KeyMaterialEntry[] = [];
  for (const slot of ['current', 'previous', 'staged'] as const) {
    if (next[slot] === before[slot]) continue;
    const { key = null, chain = null, origin = null } = next[slot] ?? {};
    entries.push(
      { name: `${PREFIX[slot]}.key`, value: key },
      { name: `${PREFIX[slot]}.chain`, value: chain },
      { name: `${PREFIX[slot]}.origin`, value: origin },
    );
  }
  if (next.request !== before.request) {
    const { request } = next;
    entries.push({ name: REQUEST_KEY, value: request === undefined ? null : privateKeyPem(request.key) });
    entries.push({
      name: REQUEST,
      value: request === undefined ? null : JSON.stringify({ csr: request.csr, madeAt: request.madeAt }),
    });
  }
  if (next.pending !== before.pending)
    entries.push({ name: PENDING, value: next.pending === undefined ? null : JSON.stringify(next.pending) });
  return entries;
}

export function credentialsOf(key: string, chain: string, origin: ServerOrigin): ServerCredentials {
  const [leaf] = readChain(chain, 'The server certificate');
  return {
    key,
    chain,
    origin,
    thumbprint: thumbprintOf(leaf),
    subject: subjectOf(leaf),
    issuer: leaf.issuer.replaceAll('\n', ', '),
    names: hostsOf(leaf),
    notBefore: validityOf(leaf).from.getTime(),
    notAfter: validityOf(leaf).to.getTime(),
  };
}

export function credentialsFrom(
  key: KeyObject,
  chain: readonly X509Certificate[],
  origin: ServerOrigin,
): ServerCredentials {
  return credentialsOf(privateKeyPem(key), chainPem(chain), origin);
}

const chains = new WeakMap<Pick<ServerCredentials, 'chain'>, readonly [X509Certificate, ...X509Certificate[]]>();

/** Its certificates, leaf first, root last. Read once: every request about certificates needs them. */
export function chainOf(
  credentials: Pick<ServerCredentials, 'chain'>,
): readonly [X509Certificate, ...X509Certificate[]] {
  const known = chains.get(credentials) ?? readChain(credentials.chain, 'The server certificate');
  chains.set(credentials, known);
  return known;
}

/** The certificate that an agent has to trust. */
export function rootOfCredentials(credentials: Pick<ServerCredentials, 'chain'>): X509Certificate {
  const certificates = chainOf(credentials);
  return certificates.at(-1) ?? certificates[0];
}

/** `sha256:<hex>` over the key of the top certificate that is sent: what an enrolling agent looks for. */
export function pinOfCredentials(credentials: Pick<ServerCredentials, 'chain'>): string {
  return pinOf(spkiOf(rootOfCredentials(credentials).publicKey));
}

function loadSlot(keyMaterial: KeyMaterialSubject, prefix: string): ServerCredentials | undefined {
  const [key, chain, origin] = [
    keyMaterial.get(`${prefix}.key`),
    keyMaterial.get(`${prefix}.chain`),
    keyMaterial.get(`${prefix}.origin`),
  ];
  if (key === undefined && chain === undefined) return undefined;
  if (key === undefined || chain === undefined)
    throw pkiFault('key_material_damaged', {
      name: `${prefix}.${key === undefined ? 'key' : 'chain'}`,
      found: 'it is missing',
    });
  try {
    createPrivateKey(key);
    return credentialsOf(key, chain, origin === 'signed' || origin === 'imported' ? origin : 'issued');
  } catch (error) {
    throw pkiFault('key_material_damaged', { name: `${prefix}.chain`, found: textOf(error) }, error);
  }
}

function loadRequest(keyMaterial: KeyMaterialSubject): OpenRequest | undefined {
  const [key, text] = [keyMaterial.get(REQUEST_KEY), keyMaterial.get(REQUEST)];
  if (key === undefined || text === undefined) return undefined;
  try {
    const request: unknown = JSON.parse(text);
    if (!isRecord(request) || typeof request['csr'] !== 'string' || typeof request['madeAt'] !== 'number')
      throw new TypeError('it is not a request');
    return { csr: request['csr'], madeAt: request['madeAt'], key: createPrivateKey(key) };
  } catch (error) {
    throw pkiFault('key_material_damaged', { name: REQUEST, found: textOf(error) }, error);
  }
}

/** An unreadable mark still marks a pending change: the next start rolls it back. */
function readPending(text: string | undefined): PendingChange | undefined {
  if (text === undefined) return undefined;
  const pending: unknown = JSON.parse(text);
  if (!isRecord(pending) || !isRecord(pending['owner'])) return UNREADABLE;
  // Written from a PendingChange only.
  return pending as unknown as PendingChange;
}
