// Watches the session of a process that is the trial of its own software: welcomed, and a minute without a cut, proves
// it. Only what the software itself causes is its failure: a Central that is away, throttles or drains says nothing
// about it.
import type { CodedError } from '../../../shared/errors.ts';
import { agentFault } from '../../errors.ts';
import type { Problem } from '../kind-state.ts';

/** From the welcome to the commit: what a fault in the software ends has ended by then. */
export const COMMIT_SECONDS = 60;
const LOOK_MS = 1_000;

/** As the status of the daemon has it. */
export interface Connection {
  readonly state: string;
  readonly central: { readonly sessionId: string } | null;
  /** Why it is not online. */
  readonly stateReason: { readonly code: string; readonly detail: string; readonly hint: string } | null;
}

interface ProofPorts {
  readonly connection: () => Connection;
  /** Until the welcome. */
  readonly trialSeconds: number;
  /** Milliseconds since this process started. */
  readonly clock: () => number;
  /** Rejects when `signal` aborts. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
}

interface Unproved {
  readonly kind: 'failed' | 'inconclusive';
  readonly reason: Problem;
}

/** Undefined: it is proved. Rejects when `signal` aborts. */
export async function proveSession(
  { connection, trialSeconds, clock, wait }: ProofPorts,
  signal: AbortSignal,
): Promise<Unproved | undefined> {
  let session: { readonly id: string; readonly since: number } | undefined;
  for (;;) {
    const { state, central, stateReason } = connection();
    const sessionId = central?.sessionId ?? null;
    const reason =
      stateReason === null ? null : { code: stateReason.code, message: stateReason.detail, hint: stateReason.hint };
    const now = clock();
    if (sessionId === null) session = undefined;
    else if (session?.id !== sessionId) session = { id: sessionId, since: now };
    if (session !== undefined && now - session.since >= COMMIT_SECONDS * 1000) return undefined;
    if (session === undefined) {
      const isFatal = state === 'stopped-by-refusal' || reason?.code.startsWith('tls_') === true;
      if (isFatal && reason !== null) return { kind: 'failed', reason };
      if (now >= trialSeconds * 1000) return { kind: 'inconclusive', reason: reason ?? unreached() };
    }
    await wait(LOOK_MS, signal);
  }
}

function unreached(): CodedError {
  return agentFault('trial_without_session', {});
}
