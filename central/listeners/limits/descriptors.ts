// Divides the file descriptors of the process: agents, handshakes and the administration have a share each, so that
// connections of one kind never take what the others and the store need. Where the limit is high, the shares are larger
// than every other bound.
import { readdirSync, readFileSync } from 'node:fs';
import { placeFault } from '../../auth/errors.ts';
import { problemOf, type Problem } from '../../problems.ts';

/** For what is opened after the shares were computed: ten listening sockets, files of a backup, name resolution. */
const RESERVED = 16;
/** Of what is left, for each of the two listeners of the administration. */
const ADMINISTRATION_SHARE = 1 / 8;
/** Of what agents have: never for sessions, so that those beyond their number can be asked to retry later. */
const HANDSHAKE_SHARE = 1 / 8;
/** Connections of agents that are not welcomed: on the ws listener, on the wss listener, and upgraded ones. */
const HANDSHAKE_KINDS = 3;
/** A page of a browser opens several connections. */
const FEWEST_FOR_ADMINISTRATION = 3;
const LOG_EVERY_MS = 60_000;
/** Longer than agents are asked to wait, so that the problem stays while it lasts. */
const SHOWN_MS = 300_000;
const NO_LIMIT = Number.MAX_SAFE_INTEGER;

interface Shares {
  /** Sessions of agents, at most. */
  readonly sessions: number;
  /** Handshakes of one kind, while so many sessions are open: what sessions do not use is free for them. */
  readonly handshakes: (openSessions: number) => number;
  /** Connections of one listener of the administration. */
  readonly administration: number;
}

export interface Descriptors extends Shares {
  /** NO_LIMIT where the system does not say. */
  readonly limit: number;
  /** An agent was asked to retry later because its share is used up; logged once a minute. */
  readonly onSessionsFull: () => void;
  /** Agents were asked to retry later within the last minutes. */
  problems(): Problem[];
}

export function shareDescriptors(limit: number, used: number): Shares {
  const left = Math.max(0, limit - used - RESERVED);
  const administration = Math.max(FEWEST_FOR_ADMINISTRATION, Math.floor(left * ADMINISTRATION_SHARE));
  const agents = Math.max(1 + HANDSHAKE_KINDS, left - 2 * administration);
  return {
    administration,
    sessions: agents - Math.max(HANDSHAKE_KINDS, Math.floor(agents * HANDSHAKE_SHARE)),
    handshakes: (openSessions) => Math.max(1, Math.floor((agents - openSessions) / HANDSHAKE_KINDS)),
  };
}

/**
 * To be called when the store is open and nothing listens yet. `maxAgents`: the parameter agents.max, for a warning.
 */
export function openDescriptors(
  log: { warn(facts: object, text: string): void },
  maxAgents: number,
  found = ofThisProcess(),
): Descriptors {
  const shares = shareDescriptors(found.limit, found.used);
  const facts = { openFiles: found.limit, maxSessions: shares.sessions };
  if (shares.sessions < maxAgents) {
    log.warn(
      { code: 'descriptors_few', ...facts, maxAgents },
      `the limit of open files allows ${shares.sessions} agents, fewer than agents.max: raise it (LimitNOFILE= of the service, or ulimit -n) and restart Central`,
    );
  }
  let loggedAt = Number.NEGATIVE_INFINITY;
  let [firstAt, lastAt] = [0, Number.NEGATIVE_INFINITY];
  return {
    ...shares,
    limit: found.limit,
    problems() {
      if (Date.now() - lastAt > SHOWN_MS) return [];
      const facts = { limit: shares.sessions, openFiles: found.limit, maxAgents };
      return [problemOf(placeFault('descriptors_full', facts), firstAt)];
    },
    onSessionsFull() {
      if (Date.now() - lastAt > SHOWN_MS) firstAt = Date.now();
      lastAt = Date.now();
      if (performance.now() - loggedAt < LOG_EVERY_MS) return;
      loggedAt = performance.now();
      log.warn(
        { code: 'descriptors_full', ...facts },
        'agents are asked to retry later: the limit of open files is reached; raise it (LimitNOFILE= of the service, or ulimit -n) and restart Central',
      );
    },
  };
}

/** Node has raised the soft limit to the hard one. NO_LIMIT where there is no /proc. */
function ofThisProcess(): { readonly limit: number; readonly used: number } {
  try {
    const [, soft = ''] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
    const limit = soft === '' ? NO_LIMIT : Number(soft);
    return { limit, used: readdirSync('/proc/self/fd').length };
  } catch {
    return { limit: NO_LIMIT, used: 0 };
  }
}
