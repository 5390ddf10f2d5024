// Owns how the server certificate follows parameters and time: which names and which subject it needs now, for the listeners
// to show. What an administrator does with it by hand is server-certificates.ts.
import { CENTRAL } from '../../audit.ts';
import type { ParameterValues } from '../../parameters/definitions.ts';
import { pkiFault } from '../errors.ts';
import type { ServerIdentity, ServerCertificateSpec } from './server-identity.ts';
import type { ServerCredentials } from './slots.ts';

export interface LiveCertificateOptions {
  readonly identity: ServerIdentity;
  /** From the configuration: what agents use. */
  readonly advertised: readonly string[];
  readonly hostName: string;
  readonly show: (credentials: ServerCredentials) => void;
}

/** Satisfies CertificatePort (central/listeners/reconcile.ts). */
export function liveCertificate({ identity, advertised, hostName, show }: LiveCertificateOptions) {
  const wishes = (values: ParameterValues): ServerCertificateSpec => ({
    names: [...advertised, hostName],
    advertised,
    subjectAlternativeNames: values['certificate.subjectAlternativeNames'],
    distinguishedName: values['certificate.distinguishedName'],
    lifetimeDays: values['certificate.lifetimeDays'],
  });
  return {
    wishes,
    async stage(values: ParameterValues): Promise<ServerCredentials> {
      const { pending } = identity.slots;
      if (pending !== undefined)
        throw pkiFault('certificate_change_pending', {
          who: pending.changedBy,
          until: new Date(pending.deadline).toISOString(),
        });
      return await identity.stage(wishes(values));
    },
    show,
    adopt: (staged: ServerCredentials): Promise<void> => identity.adopt(staged, CENTRAL),
    current: (): ServerCredentials | undefined => identity.current(),
    /** At the start: what there is, if it may be used at all; else a new one. Shows nothing yet. */
    async first(values: ParameterValues): Promise<ServerCredentials> {
      const fitting = await identity.fitting(wishes(values));
      await identity.adopt(fitting, CENTRAL);
      return fitting;
    },
    /** One of our own that comes near its end, or was signed by an earlier generation, is replaced without anybody noticing. True when it was. */
    async renew(values: ParameterValues): Promise<boolean> {
      if (identity.slots.pending !== undefined) return false;
      const fitting = await identity.fitting(wishes(values));
      if (fitting === identity.current()) return false;
      await identity.adopt(fitting, CENTRAL);
      show(fitting);
      return true;
    },
  };
}
