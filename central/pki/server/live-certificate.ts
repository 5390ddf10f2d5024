// Keeps the server certificate in step with parameters and time: which names and which subject it needs now, for the
// listeners to show. What an administrator does with it is server-certificates.ts's.
import { CENTRAL } from '../../audit.ts';
import type { Changes } from '../../change/changes.ts';
import type { ParameterValues } from '../../parameters/definitions.ts';
import type { ServerIdentity, ServerCertificateSpec } from './server-identity.ts';
import type { ServerCredentials } from './slots.ts';

interface LiveCertificateOptions {
  readonly identity: ServerIdentity;
  readonly changes: Pick<Changes, 'assertNonePending'>;
  /** From the configuration: what agents use. */
  readonly advertised: readonly string[];
  readonly hostName: string;
  /** Other nodes show it too. */
  readonly isShared: boolean;
  readonly show: (credentials: ServerCredentials) => void;
}

export type LiveCertificate = ReturnType<typeof liveCertificate>;

/** Satisfies CertificatePort (central/listeners/reconcile.ts). */
export function liveCertificate({ identity, changes, advertised, hostName, isShared, show }: LiveCertificateOptions) {
  const spec = (values: ParameterValues): ServerCertificateSpec => ({
    names: [...advertised, hostName],
    advertised,
    subjectAlternativeNames: values['certificate.subjectAlternativeNames'],
    distinguishedName: values['certificate.distinguishedName'],
    lifetimeDays: values['certificate.lifetimeDays'],
    isShared,
  });
  return {
    spec,
    async stage(values: ParameterValues): Promise<ServerCredentials> {
      changes.assertNonePending(['server-certificate']);
      return await identity.stage(spec(values));
    },
    show,
    adopt: (staged: ServerCredentials): Promise<void> => identity.adopt(staged, CENTRAL),
    current: (): ServerCredentials | undefined => identity.current(),
    /** At the start: the stored one, if it can be used; else a new one. Shows nothing yet. */
    async first(values: ParameterValues): Promise<ServerCredentials> {
      const { current, pending } = identity.slots;
      // It waits for its confirmation, at another node that works: that would be lost.
      if (current !== undefined && pending !== undefined) return current;
      const fitting = await identity.fitting(spec(values));
      await identity.adopt(fitting, CENTRAL);
      return fitting;
    },
    /** Replaces one of our own that nears its end or was signed by an earlier generation. True when it did. */
    async renew(values: ParameterValues): Promise<boolean> {
      if (identity.slots.pending !== undefined) return false;
      const fitting = await identity.fitting(spec(values));
      if (fitting === identity.current()) return false;
      await identity.adopt(fitting, CENTRAL);
      show(fitting);
      return true;
    },
  };
}
