// Opens the keys, the authority, and the certificates that Central itself shows and signs with. What an administrator
// does with them, and what agents are sent about them, is open-pki-services.ts's.
import type { Logger } from 'pino';
import { isCoded } from '../../shared/errors.ts';
import { signTranscript } from '../../shared/wire/proof.ts';
import type { Changes } from '../change/changes.ts';
import type { CentralConfig } from '../config.ts';
import type { CentralEvents, Events } from '../events.ts';
import type { ParameterState } from '../parameters/state.ts';
import type { StoreKeys } from '../store/backup/backup.ts';
import type { Problem } from '../problems.ts';
import type { NodeRecord } from '../store/nodes/node-store.ts';
import type { Store } from '../store/store.ts';
import { openAuthority, type Authority } from './authority/authority.ts';
import { RootDates } from './authority/root-dates.ts';
import {
  openSigningCertificate,
  openSigningKey,
  type SigningCertificate,
  type SigningKey,
} from './authority/signing-key.ts';
import { openKeyMaterial, type KeyMaterial, type MadeKey } from './keys/key-material.ts';
import { onNewest } from './keys/subject.ts';
import { RevocationLists } from './revocation-lists.ts';
import { liveCertificate, type LiveCertificate } from './server/live-certificate.ts';
import { openServerIdentity, type ServerIdentity } from './server/server-identity.ts';
import { pinOfCredentials, type ServerCredentials } from './server/slots.ts';
import { trustBundle, type TrustBundle } from './trust/trust-bundle.ts';

interface PkiNeeds {
  readonly config: Pick<CentralConfig, 'advertisedNames' | 'centralName' | 'dataFolder' | 'hostName' | 'keySources'>;
  readonly store: Pick<Store, 'certificates' | 'keyMaterial' | 'nodes'>;
  readonly nodes: { readonly self: string; list(): readonly NodeRecord[] };
  /** A change that waits for its confirmation is that of another node, which works. */
  readonly parameters: Pick<ParameterState, 'values'>;
  readonly changes: Pick<Changes, 'assertNonePending' | 'follow' | 'recordRollback' | 'runExclusive'>;
  readonly events: Events<CentralEvents>;
  readonly log: Logger;
  readonly now: () => number;
}

export interface Pki {
  /** Keys and certificates of Central, private keys encrypted. */
  readonly keyMaterial: Pick<KeyMaterial, 'load' | 'put'>;
  /** For backups and restores. */
  readonly keys: StoreKeys;
  readonly authority: Authority;
  readonly signingKey: SigningKey;
  readonly signingCertificate: SigningCertificate;
  readonly identity: ServerIdentity;
  readonly trust: TrustBundle;
  /** The server certificate, for the listeners. */
  readonly live: LiveCertificate;
  /** The server certificate at the start. */
  readonly first: ServerCredentials;
  readonly revocationLists: RevocationLists;
  /** Signs with Central's signing key; base64. */
  sign(transcript: string): string;
  /** `sha256:<hex>` over the key of the top certificate that is shown now. */
  pin(): string;
  /**
   * Renews what nears its end or was signed by an earlier generation, within a change; true when it was the server
   * certificate. What another node renewed at the same time is taken from it.
   */
  reissue(): Promise<boolean>;
  /** The same, between two changes. */
  renew(): Promise<boolean>;
  /** Within a change: another node may have changed keys and certificates. They are shown and signed with here as well. */
  look(): Promise<void>;
  /** The same, between two changes. */
  follow(): Promise<void>;
  /** Of the authority, for the status. */
  problems(): readonly Problem[];
}

/** Errors: those of the key-encryption key (key_encryption_key_*), key_material_damaged, distinguished_name_bad. */
export async function openPki(needs: PkiNeeds): Promise<Pki> {
  const made: MadeKey = {};
  // Another node may make the first keys at the same time: what it made is read then.
  const open = async (): Promise<Pki> =>
    await onNewest(
      async () => undefined,
      async () => await openParts(needs, made),
    );
  try {
    return await open();
  } catch (error) {
    if (made.file === undefined || !isCoded(error, 'key_encryption_key_elsewhere')) throw error;
    // The key that this start made has sealed nothing: it is deleted, and the error says whose is needed.
    return await open();
  }
}

async function openParts(needs: PkiNeeds, made: MadeKey): Promise<Pki> {
  const { config, store, parameters, changes, events, log, now } = needs;
  const central = config.centralName;
  const keyMaterial = await openKeys(needs, made);
  const authority = await openAuthority({
    keyMaterial,
    central,
    lifetimeDays: () => parameters.values()['authority.lifetimeDays'],
    now,
  });
  const rootDates = new RootDates({ authority, certificates: store.certificates, log, now });
  await rootDates.renew();
  const signingKey = await openSigningKey({ keyMaterial, now });
  const signingCertificate = await openSigningCertificate({
    keyMaterial,
    authority,
    signingKey,
    central,
    lifetimeDays: () => parameters.values()['certificate.lifetimeDays'],
    now,
  });
  const identity = await openServerIdentity({
    keyMaterial,
    authority,
    onRolledBack: (pending) => changes.recordRollback('server-certificate', pending),
    isShared: store.nodes !== undefined,
    now,
  });
  const live = liveCertificate({
    identity,
    changes,
    advertised: config.advertisedNames,
    hostName: config.hostName,
    isShared: store.nodes !== undefined,
    show: (credentials) => events.emit('certificateReplaced', credentials),
  });
  const first = await live.first(parameters.values());
  await identity.dropUntrusted();
  await rootDates.measure();
  const { look, reissue } = inStep(needs, { authority, rootDates, signingCertificate, identity, live });
  return {
    keyMaterial,
    keys: keyMaterial.keys,
    authority,
    signingKey,
    signingCertificate,
    identity,
    trust: trustBundle(authority, identity),
    live,
    first,
    revocationLists: openLists(needs, authority),
    sign: (transcript) => signTranscript(transcript, signingKey.key),
    pin: () => pinOfCredentials(identity.current() ?? first),
    reissue,
    renew: async () => await changes.runExclusive(reissue),
    look,
    follow: async () => await changes.runExclusive(look),
    problems: () => rootDates.problems(),
  };
}

async function openKeys({ config, store, nodes, log, now }: PkiNeeds, made: MadeKey): Promise<KeyMaterial> {
  const others = (): string[] =>
    nodes.list().flatMap(({ name, state }) => (state === 'alive' && name !== nodes.self ? name : []));
  return await openKeyMaterial({
    store: store.keyMaterial,
    sources: { dataFolder: config.dataFolder, ...config.keySources },
    others: store.nodes === undefined ? undefined : others,
    made,
    log,
    now,
  });
}

interface Parts extends Pick<Pki, 'authority' | 'identity' | 'live' | 'signingCertificate'> {
  readonly rootDates: RootDates;
}

/** Keeps what is shown and signed with in step with the store and with the authority. */
function inStep(
  { parameters, changes, events }: PkiNeeds,
  { authority, rootDates, signingCertificate, identity, live }: Parts,
): Pick<Pki, 'look' | 'reissue'> {
  let signer = authority.current().id;
  const settle = async (): Promise<void> => {
    await rootDates.measure();
    const before = signer;
    signer = authority.current().id;
    if (signer !== before) events.emit('signerReplaced');
  };
  const look = async (): Promise<void> => {
    const [shown, pending] = [identity.current(), identity.slots.pending ?? null];
    await authority.follow();
    await signingCertificate.follow();
    await identity.follow();
    const current = identity.current();
    const isOther = current?.thumbprint !== shown?.thumbprint;
    if (current !== undefined && isOther) events.emit('certificateReplaced', current);
    changes.follow('server-certificate', pending, isOther ? 'rolled-back' : 'confirmed');
    await settle();
  };
  const reissue = async (): Promise<boolean> =>
    await onNewest(look, async () => {
      await rootDates.renew();
      await signingCertificate.renew();
      const renewed = await live.renew(parameters.values());
      await identity.dropUntrusted();
      await settle();
      return renewed;
    });
  return { look, reissue };
}

function openLists({ store, nodes, now }: PkiNeeds, authority: Authority): RevocationLists {
  return new RevocationLists({
    authority,
    certificates: store.certificates,
    // Of the database: a verifier may fetch from one node after the other.
    now: () => now() - (nodes.list().find(({ name }) => name === nodes.self)?.clockOffsetMs ?? 0),
    isShared: store.nodes !== undefined,
    place: () => nodes.list().findIndex(({ name }) => name === nodes.self),
  });
}
