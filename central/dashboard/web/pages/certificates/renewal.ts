// How a certificate is renewed, how urgent that is, and what an administrator has to do about it.
import type { Agent } from '../../client/types.ts';
import { date } from '../../format.ts';
import { lookOf } from '../../states.ts';
import { T } from '../../strings.ts';
import type { Ending, Phase, ServerCertificates } from './shapes.ts';

const { certificates: C } = T;

export interface Renewal {
  readonly meaning: 'ok' | 'warn' | 'bad';
  readonly text: string;
  readonly todo: string;
}

export interface Surroundings {
  /** Of an agent's certificate, where it was asked for. */
  readonly agent: Agent | undefined;
  readonly phase: Phase | undefined;
  readonly server: ServerCertificates | undefined;
  readonly graceDays: number;
  readonly now: number;
}

const ROTATE_DAYS = 365;
const SOON_DAYS = 30;
const DAY_MS = 86_400_000;

const well = (text: string): Renewal => ({ meaning: 'ok', text, todo: C.todos.none });

export function renewalOf(certificate: Ending, around: Surroundings): Renewal {
  const { kind, slot, daysLeft } = certificate;
  if (kind === 'agent') return renewalOfAgent(certificate, around);
  if (kind === 'authority') {
    if (around.phase !== undefined && !['idle', 'retired'].includes(around.phase)) return well(C.beingRotated);
    if (daysLeft > ROTATE_DAYS) return well(C.byRotation);
    return { meaning: daysLeft > SOON_DAYS ? 'warn' : 'bad', text: C.byRotation, todo: C.todos.rotate };
  }
  if (kind === 'trust')
    return daysLeft > SOON_DAYS
      ? well(C.notRenewed)
      : { meaning: 'warn', text: C.notRenewed, todo: C.todos.overBundle };
  if (slot === 'previous') return well(C.kept);
  const isForeign = kind === 'server' && around.server?.current.origin !== 'issued';
  if (!isForeign) return daysLeft < 0 ? { ...well(C.reissued), meaning: 'bad', todo: C.todos.look } : well(C.reissued);
  if (daysLeft > 60) return well(C.notReissued);
  return { meaning: daysLeft > 14 ? 'warn' : 'bad', text: C.notReissued, todo: C.todos.replace };
}

function renewalOfAgent({ notBefore, notAfter, daysLeft }: Ending, around: Surroundings): Renewal {
  const { agent, graceDays, now } = around;
  const [begin, end] = [Date.parse(notBefore), Date.parse(notAfter)];
  const half = begin + (end - begin) / 2;
  const state = agent?.state;
  const word = state === undefined ? '' : lookOf(state).word;
  if (state === 'revoked' || state === 'disabled') return well(C.outOfService(word));
  if (end + graceDays * DAY_MS < now) return { meaning: 'bad', text: C.pastGrace, todo: C.todos.recovery };
  if (end < now) return { meaning: 'warn', text: C.inGrace(graceDays), todo: C.todos.switchOn };
  if (now < half) return well(C.renews(date(half)));
  if (state === undefined || state === 'online' || state === 'degraded') {
    // Due for a day or two, it is in progress; for longer, something hinders it.
    if (daysLeft > SOON_DAYS || now - half < 2 * DAY_MS) return well(C.renewalDue(date(half)));
    return { meaning: 'warn', text: C.renewalDue(date(half)), todo: C.todos.look };
  }
  if (daysLeft > SOON_DAYS) return well(C.renewalOffline(word));
  return { meaning: 'warn', text: C.renewalOffline(word), todo: C.todos.switchOn };
}
