// Opens the keys, the authority, and the certificates that Central itself shows and signs with. What an administrator
// does with them, and what agents are sent about them, is open-pki-services.ts's.
import type { Logger } from 'pino';
import { signTranscript } from '../../shared/wire/proof.ts';
import { isCoded } from '../../shared/errors.ts';
import type { Changes } from '../change/changes.ts';
import type { PendingChange } from '../change/pending.ts';
import type { CentralConfig } from '../config.ts';
import type { CentralEvents, Events } from '../events.ts';
import type { ParameterState } from '../parameters/state.ts';
import type { StoreKeys } from '../store/backup/backup.ts';
import type { Problem } from '../problems.ts';
import type { Store } from '../store/store.ts';
import { openAuthority, type Authority } from './authority/authority.ts';
import { RootDates } from './authority/root-dates.ts';
import {
  openSigningCertificate,
  openSigningKey,
  type SigningCertificate,
  type SigningKey,
} from './authority/signing-key.ts';
import { openKeyMaterial, type KeyMaterial } from './keys/key-material.ts';
import { RevocationLists } from './revocation-lists.ts';
import { liveCertificate, type LiveCertificate } from './server/live-certificate.ts';
import { openServerIdentity, type ServerIdentity } from './server/server-identity.ts';
import { pinOfCredentials, type ServerCredentials } from './server/slots.ts';
import { trustBundle, type TrustBundle } from './trust/trust-bundle.ts';

interface PkiNeeds {
  readonly config: Pick<CentralConfig, 'advertisedNames' | 'centralName' | 'dataFolder' | 'hostName' | 'keySources'>;
  readonly store: Pick<Store, 'certificates' | 'keyMaterial' | 'nodes'>;
  /** A change that waits for its confirmation is that of another node, which works. */
  readonly isOfOther: (pending: PendingChange) => boolean;
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
   * certificate.
   */
  reissue(): Promise<boolean>;
  /** The same, between two changes. */
  renew(): Promise<boolean>;
  /** Another node may have changed keys and certificates: they are shown and signed with here as well. */
  follow(): Promise<void>;
  /** Of the authority, for the status. */
  problems(): readonly Problem[];
}

/** Another node may make the first keys at the same time: what it made is read then. */
const ATTEMPTS = 5;

/** Errors: those of the key-encryption key (key_encryption_key_*), key_material_damaged, distinguished_name_bad. */
export async function openPki(needs: PkiNeeds): Promise<Pki> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await openParts(needs);
    } catch (error) {
      if (attempt === ATTEMPTS || !isCoded(error, 'key_material_conflict')) throw error;
    }
  }
}

async function openParts({ config, store, parameters, changes, isOfOther, events, log, now }: PkiNeeds): Promise<Pki> {
  const central = config.centralName;
  const keySources = { dataFolder: config.dataFolder, ...config.keySources };
  const keyMaterial = await openKeyMaterial({ store: store.keyMaterial, sources: keySources, log, now });
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
    isOfOther,
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
  const reissue = async (): Promise<boolean> => {
    await rootDates.renew();
    await signingCertificate.renew();
    const renewed = await live.renew(parameters.values());
    await identity.dropUntrusted();
    await rootDates.measure();
    return renewed;
  };
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
    revocationLists: new RevocationLists({ authority, certificates: store.certificates, now }),
    sign: (transcript) => signTranscript(transcript, signingKey.key),
    pin: () => pinOfCredentials(identity.current() ?? first),
    reissue,
    renew: async () => await changes.runExclusive(reissue),
    follow: async () =>
      await changes.runExclusive(async () => {
        const [shown, pending] = [identity.current(), identity.slots.pending ?? null];
        await authority.follow();
        await signingCertificate.follow();
        await identity.follow();
        const current = identity.current();
        if (current !== undefined && current.thumbprint !== shown?.thumbprint)
          events.emit('certificateReplaced', current);
        const isRolledBack = current?.thumbprint !== shown?.thumbprint;
        changes.follow('server-certificate', pending, isRolledBack ? 'rolled-back' : 'confirmed');
        await rootDates.measure();
      }),
    problems: () => rootDates.problems(),
  };
}
