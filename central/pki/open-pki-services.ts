// Opens what administrators do with Central's certificates, and what agents are sent about them.
import type { Logger } from 'pino';
import type { Actor } from '../audit.ts';
import type { OnlineAgents } from '../change/agents.ts';
import type { Changes } from '../change/changes.ts';
import type { CentralConfig } from '../config.ts';
import type { Metrics } from '../metrics.ts';
import type { ParameterState } from '../parameters/state.ts';
import type { SessionsOfAll } from '../sessions/online/sessions-of-all.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { NoteQueue } from '../store/nodes/note-queue.ts';
import type { Store } from '../store/store.ts';
import { AuthorityService } from './authority/service.ts';
import { Expiry } from './expiry.ts';
import { onNewest } from './keys/subject.ts';
import type { Pki } from './open-pki.ts';
import { Rotation } from './rotation/rotation.ts';
import { ServerCertificates } from './server/server-certificates.ts';
import { ProfileTruststores, type ProfileFault } from './trust/profile-truststores.ts';
import { TrustPublication } from './trust/publication.ts';

interface PkiServicesNeeds {
  readonly config: Pick<CentralConfig, 'profilesFolder'>;
  readonly store: Pick<Store, 'audit' | 'certificates'>;
  readonly pki: Pki;
  readonly parameters: Pick<ParameterState, 'values'>;
  readonly changes: Changes;
  readonly sessions: Pick<Sessions, 'each' | 'of' | 'online'>;
  readonly nodeNotes: NoteQueue;
  readonly sessionsOfAll: Pick<SessionsOfAll, 'reconnectOverTls'>;
  readonly agentsOverTls: OnlineAgents;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly now: () => number;
  /** Runs once after so many milliseconds; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
}

export interface PkiServices {
  readonly authorityService: AuthorityService;
  readonly serverCertificates: ServerCertificates;
  readonly rotation: Rotation;
  readonly trustPublication: TrustPublication;
  readonly profiles: ProfileTruststores | undefined;
  /** Profiles on this host whose truststore could not be updated. */
  profileFaults(): readonly ProfileFault[];
  readonly expiry: Expiry;
}

export function openPkiServices(needs: PkiServicesNeeds): PkiServices {
  const { store, pki, changes, agentsOverTls, metrics, log, now } = needs;
  const { authority, identity } = pki;
  const { certificates, audit } = store;
  const trust = { certificates, authority };
  const onReplaced = async (): Promise<void> => void (await pki.reissue());
  const look = async (): Promise<void> => await pki.look();
  const promote = async (generation: string, actor: Actor): Promise<void> => {
    await authority.promote(generation, actor);
    await onReplaced();
  };
  /** Another node may have let it sign meanwhile. */
  const finish = async (generation: string, actor: Actor): Promise<void> =>
    await onNewest(look, async () => {
      if (authority.current().id !== generation) await promote(generation, actor);
    });
  const { profiles, trustPublication } = openTrust(needs);
  const serverCertificates = new ServerCertificates({
    identity,
    authority,
    trust,
    agents: agentsOverTls,
    spec: () => pki.live.spec(needs.parameters.values()),
    show: (credentials) => pki.live.show(credentials),
    requestReconnect: (seconds) => needs.sessionsOfAll.reconnectOverTls(seconds),
    look,
    promote: finish,
    changes,
    log,
    now,
  });
  return {
    authorityService: new AuthorityService({ authority, identity, trust, audit, look, onReplaced, changes, now }),
    serverCertificates,
    rotation: new Rotation({
      authority,
      identity,
      serverCertificates,
      progress: { certificates, firstRoot: () => authority.firstRoot, publication: trustPublication, now },
      look,
      promote,
      onReplaced,
      changes,
      log,
      now,
    }),
    trustPublication,
    profiles,
    profileFaults: () => profiles?.faults() ?? [],
    expiry: new Expiry({
      authority,
      identity,
      signing: pki.signingCertificate,
      trust: pki.trust,
      certificates,
      metrics,
      log,
      now,
    }),
  };
}

/** What agents must trust: sent to those that are online, and written into the profiles on this host. */
function openTrust({ config, store, pki, sessions, nodeNotes: notes, log, now, after }: PkiServicesNeeds) {
  const { authority, trust: bundle } = pki;
  const profiles =
    config.profilesFolder === undefined
      ? undefined
      : new ProfileTruststores({ folder: config.profilesFolder, bundle, authority, log });
  const trustPublication = new TrustPublication({
    bundle,
    certificates: store.certificates,
    sign: (transcript) => pki.sign(transcript),
    sessions,
    notes,
    onChanged: () => void profiles?.follow(),
    log,
    now,
    after,
  });
  return { profiles, trustPublication };
}
