// Reports the status of Central: what listens, with which certificate, and what is wrong.
import { VERSION } from '../../shared/version.ts';
import type { StatusReport } from '../admin/services.ts';
import type { NameReport } from '../agents/name-faults.ts';
import type { CentralConfig } from '../config.ts';
import type { OpenedListeners } from '../listeners/open-listeners.ts';
import type { ParameterService } from '../parameters/service.ts';
import type { Pki } from '../pki/open-pki.ts';
import type { ServerCredentials } from '../pki/server/slots.ts';
import type { RestoreOutcome } from '../store/backup/backup.ts';
import type { SpaceWatch } from '../store/space/watch.ts';

interface StatusNeeds {
  readonly config: Pick<CentralConfig, 'centralName' | 'nodeName'>;
  readonly startedAt: number;
  /** The restore that caused this start; null: none did. */
  readonly restored: RestoreOutcome | null;
  readonly pki: Pick<Pki, 'identity'>;
  readonly parameters: Pick<ParameterService, 'problems'>;
  readonly listeners: OpenedListeners['listeners'];
  readonly localSocket: OpenedListeners['localSocket'];
  readonly space: Pick<SpaceWatch, 'problems'>;
  readonly names: Pick<NameReport, 'problems'>;
}

export function openStatus(needs: StatusNeeds): () => StatusReport {
  const { config, startedAt, restored, pki, parameters, listeners, localSocket, space, names } = needs;
  return () => ({
    central: config.centralName,
    node: config.nodeName,
    version: VERSION,
    startedAt,
    listeners: listeners.listening(),
    certificate: certificateStatus(pki.identity.current()),
    restore: restored,
    problems: [...listeners.problems(['ws', 'wss', 'https']), ...parameters.problems()],
    // What the traffic of an agent, a name or any account of the host can cause must not make a load balancer drop Central.
    advice: [...space.problems(), ...names.problems(), ...listeners.problems(['http']), ...localSocket.problems()],
  });
}

/** The server certificate without its key. */
function certificateStatus(credentials: ServerCredentials | undefined): StatusReport['certificate'] {
  if (credentials === undefined) return null;
  const { subject, names, notAfter, thumbprint } = credentials;
  return { subject, names, notAfter, thumbprint };
}
