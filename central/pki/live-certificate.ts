// Owns how the server certificate follows the parameters: which names and which subject it needs now, for the listeners to show.
import { CENTRAL } from '../audit.ts';
import type { ParameterValues } from '../parameters/definitions.ts';
import type { ServerCredentials, ServerIdentity } from './server-identity.ts';

export interface LiveCertificateOptions {
  readonly identity: ServerIdentity;
  /** From the configuration: advertised names first, the host's own last. */
  readonly names: readonly string[];
  readonly show: (credentials: ServerCredentials) => void;
}

/** Satisfies CertificatePort (central/listeners/reconcile.ts). */
export function liveCertificate({ identity, names, show }: LiveCertificateOptions) {
  return {
    stage: (values: ParameterValues): Promise<ServerCredentials> =>
      identity.stage({
        names,
        subjectAlternativeNames: values['certificate.subjectAlternativeNames'],
        distinguishedName: values['certificate.distinguishedName'],
        lifetimeDays: values['certificate.lifetimeDays'],
      }),
    show,
    adopt: (staged: ServerCredentials): Promise<void> => identity.adopt(staged, CENTRAL),
    current: (): ServerCredentials | undefined => identity.current(),
  };
}
