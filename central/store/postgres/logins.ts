// Logins of many agents as one group: after an outage all agents of a node come back within seconds, and one by one each
// costs a dozen statements under the lock of all nodes. Most go on where they were: those are claimed with three
// statements for the whole group. All others (another key, another name, a log that restarts) are left to be claimed alone.
import { decideResume, positionOf } from '../../../shared/delivery/ordered-log.ts';
import { integer, integerOrNull, text, textOrNull, type Row } from '../../../shared/sqlite/row.ts';
import type { AgentRecord, ClaimTerms, Login, SessionClaim } from '../agent-store.ts';
import { meetsTerms } from '../agents/claim-terms.ts';
import { stateReason } from '../agents/state-reasons.ts';
import { agentRecord } from '../sql/rows/agents/agent-reads.ts';
import { knownBegin } from '../sql/rows/agents/agents.ts';
import type { BlockingConnection } from './connection/blocking-connection.ts';

interface LoginRequest {
  readonly claim: SessionClaim;
  readonly terms: ClaimTerms;
}

/** `alone`: by `logIn`. */
type LoginOutcome = Login | 'alone';

interface Candidate {
  readonly claim: SessionClaim;
  readonly agent: AgentRecord;
  readonly row: Row;
}

const ROWS = 'SELECT whole_agent.* FROM whole_agent WHERE id = ANY($1::text[])';
/** In the order in which appends lock them (schema/append.ts). */
const LOGS = `SELECT inbox_log.peer, inbox_log.incarnation AS in_incarnation, inbox_log.number AS in_number, inbox_log.id AS in_id,
  outbox_log.incarnation, outbox_log.next, outbox_log.acknowledged, outbox_log.acknowledged_id, outbox_log.missing_from, outbox_log.missing_through
  FROM inbox_log JOIN outbox_log ON outbox_log.peer = inbox_log.peer WHERE inbox_log.peer = ANY($1::bigint[])
  ORDER BY inbox_log.peer FOR UPDATE OF inbox_log`;
const CLAIM = `UPDATE agent SET epoch = agent.epoch + 1, session = one.session, session_boot = one.boot, session_version = one.version,
    session_transport = one.transport, session_address = one.address, session_node = one.node, session_since = one.now, session_ended_at = NULL,
    quarantined_until = NULL, state = 'online', state_since = one.now, state_reason = one.reason
  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[])
    AS one (key, session, boot, version, transport, address, node, now, reason)
  WHERE agent.key = one.key`;

export function loginWrites(connection: BlockingConnection) {
  return {
    /** In the order of the requests. */
    logInMany(requests: readonly LoginRequest[]): LoginOutcome[] {
      const outcomes = new Map<number, LoginOutcome>();
      const candidates = new Map<number, Candidate>();
      const rows = new Map(
        connection.query(ROWS, [requests.map(({ claim }) => claim.agentId)]).rows.map((row) => [text(row, 'id'), row]),
      );
      const seen = new Set<string>();
      for (const [index, { claim, terms }] of requests.entries()) {
        const row = rows.get(claim.agentId);
        const agent = row === undefined ? undefined : agentRecord(row);
        if (seen.has(claim.agentId)) outcomes.set(index, 'alone');
        else if (row === undefined || agent === undefined || !meetsTerms(agent, claim, terms))
          outcomes.set(index, { kind: 'found', agent });
        else if (!agent.isNameSet && agent.name !== claim.name) outcomes.set(index, 'alone');
        else candidates.set(index, { claim, agent, row });
        seen.add(claim.agentId);
      }
      for (const [index, outcome] of claimAll(connection, candidates)) outcomes.set(index, outcome);
      return requests.map((_, index) => outcomes.get(index) ?? 'alone');
    },
  };
}

function claimAll(
  connection: BlockingConnection,
  candidates: ReadonlyMap<number, Candidate>,
): Map<number, LoginOutcome> {
  const claimed = new Map<number, LoginOutcome>();
  if (candidates.size === 0) return claimed;
  const keys = Array.from(candidates.values(), ({ agent }) => agent.key);
  const logs = new Map(connection.query(LOGS, [keys]).rows.map((row) => [integer(row, 'peer'), row]));
  const ready: Candidate[] = [];
  for (const [index, candidate] of candidates) {
    const log = logs.get(candidate.agent.key);
    const login = log === undefined ? undefined : loginOf(candidate, log);
    if (login === undefined) continue;
    claimed.set(index, login);
    ready.push(candidate);
  }
  if (ready.length === 0) return claimed;
  const column = <T>(of: (candidate: Candidate) => T): T[] => ready.map(of);
  connection.query(CLAIM, [
    column(({ agent }) => agent.key),
    column(({ claim }) => claim.session),
    column(({ claim }) => claim.bootId),
    column(({ claim }) => claim.version),
    column(({ claim }) => claim.transport),
    column(({ claim }) => claim.address),
    column(({ claim }) => claim.node),
    column(({ claim }) => claim.now),
    column(({ claim: { transport, address } }) => stateReason('session_opened', { transport, address })),
  ]);
  return claimed;
}

/** Undefined: its commands do not simply go on. */
function loginOf({ claim, agent, row }: Candidate, log: Row): Login | undefined {
  const from = integerOrNull(log, 'missing_from');
  const own = {
    incarnation: text(log, 'incarnation'),
    next: integer(log, 'next'),
    acknowledged: integer(log, 'acknowledged'),
    acknowledgedId: textOrNull(log, 'acknowledged_id'),
    missing: from === null ? null : { from, through: integer(log, 'missing_through') },
  };
  // Only what is acknowledged already: an entry would have to be looked up, and trimmed.
  const decision = decideResume(own, claim.down, () => undefined);
  if (decision.kind !== 'resume' || decision.through !== own.acknowledged) return undefined;
  if (decision.missing !== null && own.missing === null) return undefined;
  const up = positionOf({
    incarnation: textOrNull(log, 'in_incarnation'),
    number: integer(log, 'in_number'),
    id: textOrNull(log, 'in_id'),
  });
  return {
    kind: 'claimed',
    claimed: {
      epoch: agent.epoch + 1,
      key: agent.key,
      name: agent.name,
      up,
      // As the row has it, which was read before the place was locked: where it differs, `begin` is noted.
      begun: knownBegin(row),
      promoted: false,
      down: { incarnation: own.incarnation, next: own.acknowledged + 1, missing: decision.missing },
      newest: own.next - 1,
    },
    certificate: agent.certificate,
  };
}
