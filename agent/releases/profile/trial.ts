// Tries a release: dials with its configuration beside the session, and says what to make of it. Only what the release
// itself causes is its failure: a Central that has too much to do, or that neither release reaches, says nothing about
// it.
import { isCoded, type CodedError } from '../../../shared/errors.ts';
import type { ConnectionEnd, DialPlan } from '../../connection/connection.ts';
import type { Attempt } from '../../connection/takeover.ts';
import { agentFault } from '../../errors.ts';

/** A host that restarts answers again within it. */
const UNREACHED_DIALS = 3;
const UNREACHED_MS = 60_000;
const DIAL_AGAIN_MS = UNREACHED_MS / (UNREACHED_DIALS - 1);
/** Long enough for the first messages both ways; a session that they break is over by then. */
const PROOF_MS = 10_000;

/** Refusals that come and go without a change of the configuration. */
const PASSING = new Set([
  'busy',
  'quarantined',
  'agent_login_rate',
  'control_rate',
  'going_away',
  'superseded',
  'hello_timeout',
  'internal',
]);

interface TrialPorts {
  /** What to dial, read from the files of the release. Errors: what is wrong with it. */
  readonly plans: () => Promise<readonly DialPlan[]>;
  /** Undefined: the old release has no session. */
  readonly attempt: (plan: DialPlan, signal: AbortSignal) => Attempt | undefined;
  /** The old release has a session. */
  readonly isOnline: () => boolean;
  readonly trialSeconds: number;
  /** Milliseconds; no setting of a clock moves it. */
  readonly clock: () => number;
  /** Rejects when `signal` aborts. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
}

type Verdict =
  /** The session of the release is open, and has proved itself. */
  | { readonly kind: 'proved'; readonly attempt: Attempt }
  /** The agent is on the old release, or dials with it. */
  | { readonly kind: 'failed' | 'inconclusive'; readonly reason: CodedError };

/** Rejects when `signal` aborts. */
export async function tryRelease(ports: TrialPorts, signal: AbortSignal): Promise<Verdict> {
  const { trialSeconds, clock, wait } = ports;
  const startedAt = clock();
  const deadline = startedAt + trialSeconds * 1000;
  let unreached = 0;
  for (;;) {
    const dialed = await dialEach(ports, signal);
    signal.throwIfAborted();
    if ('attempt' in dialed) return await prove(dialed.attempt, deadline, ports, signal);
    const { reason, isFatal, isPassing, afterMs } = dialed;
    if (isPassing) unreached = 0;
    else if (isFatal) return { kind: 'failed', reason };
    else unreached += 1;
    if (!ports.isOnline()) return { kind: 'inconclusive', reason };
    const now = clock();
    const isUnreached = unreached >= UNREACHED_DIALS && now - startedAt >= UNREACHED_MS;
    // Who asks to wait is not dialed sooner for the end of the trial; otherwise the last dial is at that end.
    if (isUnreached || now >= deadline || now + afterMs > deadline)
      return { kind: isPassing ? 'inconclusive' : 'failed', reason };
    await wait(Math.min(Math.max(afterMs, DIAL_AGAIN_MS), deadline - now), signal);
  }
}

interface Missed {
  readonly reason: CodedError;
  /** It will not be otherwise the next time. */
  readonly isFatal: boolean;
  /** It says nothing about the release. */
  readonly isPassing: boolean;
  readonly afterMs: number;
}

/** Each host once, until one welcomes it. */
async function dialEach(
  { plans, attempt: dial }: TrialPorts,
  signal: AbortSignal,
): Promise<{ readonly attempt: Attempt } | Missed> {
  let hosts: readonly DialPlan[];
  try {
    hosts = await plans();
  } catch (error) {
    if (!isCoded(error)) throw error;
    return { reason: error, isFatal: true, isPassing: false, afterMs: 0 };
  }
  const missed: Missed[] = [];
  for (const plan of hosts) {
    const attempt = dial(plan, signal);
    if (attempt === undefined) return passing(agentFault('trial_without_session', {}));
    if (await attempt.welcomed) return { attempt };
    missed.push(missOf(await attempt.ended));
  }
  // Of several hosts one that may be there later counts.
  const [last] = missed.toSorted((one, other) => rank(one) - rank(other));
  if (last === undefined) throw new Error('a trial without a host');
  return last;
}

function rank({ isFatal, isPassing }: Missed): number {
  return isPassing ? 0 : isFatal ? 2 : 1;
}

function passing(reason: CodedError, afterMs = 0): Missed {
  return { reason, isFatal: false, isPassing: true, afterMs };
}

function missOf({ reason, refusedWith, terminal, retryAfterMs, isThrottled }: ConnectionEnd): Missed {
  const asksToWait = retryAfterMs > 0 && reason.code !== 'unproven_central';
  if (!terminal && (isThrottled === true || asksToWait || PASSING.has(refusedWith ?? '')))
    return passing(reason, retryAfterMs);
  return { reason, isFatal: terminal || reason.code.startsWith('tls_'), isPassing: false, afterMs: 0 };
}

async function prove(
  attempt: Attempt,
  deadline: number,
  { clock, wait }: TrialPorts,
  signal: AbortSignal,
): Promise<Verdict> {
  const over = new AbortController();
  const proof = wait(Math.max(0, Math.min(PROOF_MS, deadline - clock())), AbortSignal.any([signal, over.signal]));
  const end = await Promise.race([proof, attempt.ended]).catch((error: unknown) => {
    attempt.end(agentFault('trial_ended', {}));
    throw error;
  });
  if (end === undefined) return { kind: 'proved', attempt };
  over.abort();
  // Its rejection says that nothing waits for it any more.
  await proof.catch(() => undefined);
  const { reason, isFatal } = missOf(end);
  return { kind: isFatal ? 'failed' : 'inconclusive', reason };
}
