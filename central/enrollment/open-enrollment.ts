// Opens the ways in which a machine becomes an agent: with a token, by approval, offline, with a recovery code.
import { CENTRAL } from '../audit.ts';
import { addressBlock } from '../auth/address-rules.ts';
import { siteOf, type WrongAttempts } from '../auth/wrong-attempts.ts';
import type { CentralConfig } from '../config.ts';
import type { Metrics } from '../metrics.ts';
import type { ParameterState } from '../parameters/state.ts';
import type { Pki } from '../pki/open-pki.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Store } from '../store/store.ts';
import { createApprovals, type Approvals } from './approvals.ts';
import { createAgentCredentials } from './credentials.ts';
import { enrollmentLine } from './command-lines.ts';
import { createEnrollment, type Enrollment } from './enrollment.ts';
import { createOfflineEnrollment, type OfflineEnrollment } from './offline.ts';
import { createRecoveries, type Recoveries } from './recovery.ts';
import { createEnrollmentTokens, DEFAULT_ENROLLMENT_SECONDS, type EnrollmentTokens } from './tokens.ts';

interface EnrollmentNeeds {
  readonly config: Pick<CentralConfig, 'centralName'>;
  readonly store: Pick<Store, 'agents' | 'certificates' | 'enrollments' | 'tokens'>;
  readonly pki: Pki;
  readonly parameters: Pick<ParameterState, 'values'>;
  readonly sessions: Pick<Sessions, 'identityReplaced'>;
  readonly attempts: Pick<WrongAttempts, 'slow'>;
  readonly metrics: Metrics;
  readonly now: () => number;
}

interface OpenedEnrollment {
  readonly enrollment: Enrollment;
  readonly enrollmentTokens: EnrollmentTokens;
  readonly approvals: Approvals;
  readonly offlineEnrollment: OfflineEnrollment;
  readonly recoveries: Recoveries;
}

/** A one-time token, and the complete line for the machine of the agent, which contains it. */
export interface FirstEnrollment {
  readonly token: string;
  readonly line: string;
}

export function openEnrollment(needs: EnrollmentNeeds): OpenedEnrollment {
  const { config, store, pki, parameters, sessions, attempts, metrics, now } = needs;
  const { agents, certificates, enrollments, tokens } = store;
  const credentials = createAgentCredentials({
    authority: pki.authority,
    trust: pki.trust,
    certificates,
    signingKey: pki.signingKey.publicKey,
    central: config.centralName,
    lifetimeDays: () => parameters.values()['agents.certificate.lifetimeDays'],
    now,
  });
  const policy = () => parameters.values()['agents.enrollment'];
  const shared = { agents, enrollments, credentials, attempts, policy, now };
  const enrollmentTokens = createEnrollmentTokens({ tokens, now });
  const onNewKey = (agentId: string): void => {
    sessions.identityReplaced(agentId);
    pki.revocationLists.touch();
  };
  const approvals = createApprovals({
    ...shared,
    onReplaced: onNewKey,
    blockOf: addressBlock,
    siteOf,
    onCounted: (counts) => {
      for (const [state, count] of Object.entries(counts))
        metrics.instruments.queuegate_enrollment_requests.set({ state }, count);
    },
  });
  const recoveries = createRecoveries({
    ...shared,
    pin: () => pki.pin(),
    onRecovered: onNewKey,
  });
  return {
    enrollment: createEnrollment({ ...shared, tokens: enrollmentTokens, approvals, recoveries }),
    enrollmentTokens,
    approvals,
    offlineEnrollment: createOfflineEnrollment({
      ...shared,
      authority: pki.authority,
      trust: pki.trust,
      signing: pki.signingCertificate,
    }),
    recoveries,
  };
}

export interface FirstEnrollmentNeeds {
  readonly enrollmentTokens: Pick<EnrollmentTokens, 'create' | 'list' | 'withdraw'>;
  readonly pki: Pick<Pki, 'pin'>;
  readonly advertised: () => { readonly host: string; readonly port: number };
}

/** For the first agent of a new Central. */
export async function createFirstEnrollment(needs: FirstEnrollmentNeeds): Promise<FirstEnrollment> {
  const terms = { lifetimeSeconds: DEFAULT_ENROLLMENT_SECONDS, maxUses: 1, agentName: null };
  const { token } = await needs.enrollmentTokens.create(terms, CENTRAL);
  return { token, line: enrollmentLine({ ...needs.advertised(), token, pin: needs.pki.pin() }) };
}
