// The part of Central's composition root that puts together keys, authority and certificates, in the order in which they need
// each other. Only central/central.ts calls it.
import type { Logger } from 'pino';
import { signTranscript } from '../../shared/wire/proof.ts';
import type { Metrics } from '../metrics.ts';
import type { ParameterValues } from '../parameters/definitions.ts';
import type { OnlineAgents } from '../change/agents.ts';
import type { Changes } from '../change/changes.ts';
import type { ParameterState } from '../parameters/state.ts';
import type { StoreKeys } from '../store/backup/backup.ts';
import type { Store } from '../store/store.ts';
import { trustBundle, type TrustBundle } from './trust/trust-bundle.ts';
import { AuthorityService } from './authority/service.ts';
import { openAuthority, type Authority } from './authority/authority.ts';
import { thumbprintOf } from './x509/certificate.ts';
import { Expiry } from './expiry.ts';
import { rootOf } from './authority/generations.ts';
import type { KeySources } from './keys/key-encryption-key.ts';
import { openKeyMaterial } from './keys/key-material.ts';
import { liveCertificate } from './server/live-certificate.ts';
import { ProfileTruststores } from './trust/profile-truststores.ts';
import { Rotation } from './rotation/rotation.ts';
import { ServerCertificates } from './server/server-certificates.ts';
import { openServerIdentity, type ServerIdentity } from './server/server-identity.ts';
import { pinOfCredentials, type ServerCredentials } from './server/slots.ts';
import {
  openSigningCertificate,
  openSigningKey,
  type SigningCertificate,
  type SigningKey,
} from './authority/signing-key.ts';
import { TrustPublication, type TrustSessions } from './trust/publication.ts';

export interface PkiOptions {
  readonly store: Store;
  readonly keySources: KeySources;
  readonly central: string;
  readonly advertised: readonly string[];
  readonly hostName: string;
  readonly parameters: Pick<ParameterState, 'values'>;
  readonly changes: Changes;
  /** Agents with a session over wss. */
  readonly agents: OnlineAgents;
  readonly requestReconnect: (spreadSeconds: number) => void;
  /** All sessions, for what is said to agents about trust. */
  readonly sessions: TrustSessions;
  /** Asks agents that are online to renew their certificates. */
  readonly askRenewal: () => void;
  /** Where profiles are kept; undefined: nowhere. */
  readonly profilesFolder: string | undefined;
  readonly show: (credentials: ServerCredentials) => void;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly now: () => number;
  readonly after: (ms: number, run: () => void) => () => void;
}

export interface Pki {
  /** For backups and restores. */
  readonly keys: StoreKeys;
  readonly authority: Authority;
  readonly authorityService: AuthorityService;
  readonly signingKey: SigningKey;
  readonly signingCertificate: SigningCertificate;
  readonly identity: ServerIdentity;
  readonly trust: TrustBundle;
  /** For the listeners, and what is shown first. */
  readonly live: ReturnType<typeof liveCertificate>;
  readonly first: ServerCredentials;
  readonly serverCertificates: ServerCertificates;
  readonly expiry: Expiry;
  readonly trustPublication: TrustPublication;
  readonly rotation: Rotation;
  readonly profiles: ProfileTruststores | undefined;
  /** `sha256:<hex>` over the key of the top certificate that is sent now. */
  pin(): string;
  /** Renews what nears its end or was signed by an earlier generation; true when it was the server certificate. */
  renew(): Promise<boolean>;
}

/** Errors: those of the key-encryption key (key_encryption_key_*), key_material_damaged, distinguished_name_bad. */
export async function openPki(options: PkiOptions): Promise<Pki> {
  const { store, central, advertised, hostName, parameters, changes, show, metrics, log, now, after } = options;
  const values = (): ParameterValues => parameters.values();
  const keyMaterial = await openKeyMaterial({ store: store.keyMaterial, sources: options.keySources, log, now });
  const authority = await openAuthority({
    keyMaterial,
    central,
    lifetimeDays: () => values()['authority.lifetimeDays'],
    now,
  });
  const signingKey = await openSigningKey({ keyMaterial, now });
  const signingCertificate = await openSigningCertificate({
    keyMaterial,
    authority,
    signingKey,
    central,
    lifetimeDays: () => values()['certificate.lifetimeDays'],
    now,
  });
  const identity = await openServerIdentity({
    keyMaterial,
    authority,
    onRolledBack: (pending) => changes.recordRollback('server-certificate', pending),
    now,
  });
  const live = liveCertificate({ identity, changes, advertised, hostName, show });
  const first = await live.first(values());
  await identity.dropUntrusted();
  const bundle = trustBundle(authority, identity);
  const trust = { certificates: store.certificates, authority };
  const renew = async (): Promise<boolean> => {
    await signingCertificate.renew();
    const renewed = await live.renew(values());
    await identity.dropUntrusted();
    return renewed;
  };
  const onReplaced = async (): Promise<void> => void (await renew());
  const profiles =
    options.profilesFolder === undefined
      ? undefined
      : new ProfileTruststores({ folder: options.profilesFolder, bundle, authority, log });
  const trustPublication = new TrustPublication({
    bundle,
    known: () => [...bundle.thumbprints(), ...authority.all().map((generation) => thumbprintOf(rootOf(generation)))],
    certificates: store.certificates,
    sign: (transcript) => signTranscript(transcript, signingKey.key),
    sessions: options.sessions,
    onChanged: () => void profiles?.follow(),
    log,
    now,
    after,
  });
  const serverCertificates = new ServerCertificates({
    identity,
    authority,
    trust,
    agents: options.agents,
    spec: () => live.spec(values()),
    show,
    requestReconnect: options.requestReconnect,
    changes,
    log,
    now,
  });
  const rotation: Rotation = new Rotation({
    authority,
    identity,
    serverCertificates,
    standing: { certificates: store.certificates, firstRoot: () => authority.firstRoot, said: trustPublication, now },
    onReplaced,
    askRenewal: options.askRenewal,
    changes,
    log,
    now,
  });
  return {
    keys: keyMaterial.keys,
    authority,
    authorityService: new AuthorityService({
      authority,
      identity,
      trust,
      audit: store.audit,
      onReplaced,
      changes,
      now,
    }),
    signingKey,
    signingCertificate,
    identity,
    trust: bundle,
    live,
    first,
    serverCertificates,
    trustPublication,
    rotation,
    profiles,
    expiry: new Expiry({
      authority,
      identity,
      signing: signingCertificate,
      trust: bundle,
      certificates: store.certificates,
      metrics,
      log,
      now,
    }),
    pin: () => pinOfCredentials(identity.current() ?? first),
    renew: async () => await changes.runExclusive(renew),
  };
}
