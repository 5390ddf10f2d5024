// Reads what became of commands, and withdraws one that was not sent. Nothing is written for it as commands pass: what
// waits is in the outbox, what was seen of a message beside it, what expired or was withdrawn in the dead letters, and
// what consumers have in the report of the agent.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { EXPIRED, EXPIRED_AT_AGENT, WITHDRAWN } from '../../../../shared/delivery/dead-letters.ts';
import { fingerprint } from '../../../../shared/sqlite/logs/fingerprint.ts';
import type { OutboxLog } from '../../../../shared/sqlite/logs/outbox-log.ts';
import { integer, integerOrNull, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import { TextPage } from '../../../../shared/text-page.ts';
import { isRecord } from '../../../../shared/wire/json-schema.ts';
import { commandIdOf, readCommandId } from '../../agents/command-id.ts';
import type { ConsumerReport, Keyed } from '../../agent-store.ts';
import { storeFault } from '../../errors.ts';
import type { CommandPage, CommandQuery, OutboxBacklog, StoredCommand } from '../../message-store.ts';
import type { deadLetterWrites } from './dead-letters.ts';

/** One call looks at so many commands, and behind so many rows that it needs for them it ends: some ten milliseconds. */
const SLICE_COMMANDS = 1_000;
const SLICE_ROWS = 20_000;
const ENTRY = 'entry, number, tombstone, bytes, at, expires_at, outbox_entry.id, json';

export function commandReads(database: SqlDatabase) {
  const all = database.prepare(`
    SELECT ${ENTRY}, peer, agent.id AS agent_id, agent.name AS agent_name FROM outbox_entry JOIN agent ON agent.key = peer
      WHERE entry > ? AND tombstone = 0 ORDER BY entry LIMIT ?`);
  const ofAgent = database.prepare(`
    SELECT ${ENTRY}, peer, agent.id AS agent_id, agent.name AS agent_name FROM outbox_entry JOIN agent ON agent.key = peer
      WHERE agent.id = ? AND number > ? AND tombstone = 0 ORDER BY number LIMIT ?`);
  const seen = `
    SELECT outbox_seen.at, outbox_seen.generation, outbox_seen.number, hash, agent.key AS peer, agent.id AS agent_id, agent.name AS agent_name
      FROM agent JOIN outbox_seen ON outbox_seen.peer = agent.key`;
  const byHash = database.prepare(`
    ${seen} WHERE hash = ?1 AND (?2 IS NULL OR agent.id = ?2) AND agent.name > ?3 ORDER BY agent.name LIMIT ?4`);
  const byId = database.prepare(`${seen} WHERE hash = ? AND agent.key = ?`);
  const state = commandStates(database);
  return {
    waitingCommands(limit: number, agentId: string | null, after: number): Keyed<StoredCommand>[] {
      const found = new TextPage<Keyed<StoredCommand>>(limit, textOf);
      for (const row of agentId === null ? all.iterate(after, limit) : ofAgent.iterate(agentId, after, limit)) {
        const json = text(row, 'json');
        const hash = hashOf(json);
        found.add({
          key: integer(row, agentId === null ? 'entry' : 'number'),
          commandId: commandIdOf(integer(row, 'peer'), hash),
          agent: { id: text(row, 'agent_id'), name: text(row, 'agent_name') },
          state: 'queued',
          queuedAt: integer(row, 'at'),
          number: integer(row, 'number'),
          json,
          expiresAt: integerOrNull(row, 'expires_at'),
        });
        if (found.isFull) break;
      }
      return found.entries;
    },
    commandsOf(hash: string, limit: number, agentId: string | null, after: string): StoredCommand[] {
      const found = new TextPage<StoredCommand>(limit, textOf);
      for (const row of byHash.iterate(hash, agentId, after, limit)) {
        found.add(state(row));
        if (found.isFull) break;
      }
      return found.entries;
    },
    findCommand(commandId: string): StoredCommand | undefined {
      const place = readCommandId(commandId);
      const row = place === undefined ? undefined : byId.get(place.hash, place.agentKey);
      return row === undefined ? undefined : state(row);
    },
  };
}

const textOf = ({ json }: StoredCommand): string | null => json;

/** What became of commands, agent by agent, in the order of `outbox_seen`: it has no other. */
export function commandListReads(database: SqlDatabase) {
  // Rows of agents that were deleted age out: they are passed over, and count.
  const columns = `
    SELECT outbox_seen.at, generation, number, hash, peer, agent.id AS agent_id, agent.name AS agent_name
      FROM outbox_seen LEFT JOIN agent ON agent.key = peer`;
  const all = database.prepare(`${columns} WHERE (peer, hash) > (?1, ?2) ORDER BY peer, hash LIMIT ${SLICE_COMMANDS}`);
  const ofAgent = database.prepare(
    `${columns} WHERE peer = (SELECT key FROM agent WHERE id = ?3) AND (peer, hash) > (?1, ?2) ORDER BY hash LIMIT ${SLICE_COMMANDS}`,
  );
  const state = commandStates(database);
  const factsOf = agentFacts(database);
  return {
    listCommands({ limit, states, agentId, after }: CommandQuery): CommandPage {
      const wanted = new Set<string>(states);
      const from = [after?.agentKey ?? 0, after?.hash ?? ''] as const;
      const rows = agentId === undefined ? all.all(...from) : ofAgent.all(...from, agentId);
      const found = new TextPage<StoredCommand>(limit, textOf);
      let of: { readonly peer: number; readonly facts: AgentFacts } | undefined;
      let work = 0;
      for (const [i, row] of rows.entries()) {
        const [peer, id] = [integer(row, 'peer'), textOrNull(row, 'agent_id')];
        if (id !== null) {
          if (of?.peer !== peer) {
            work += of?.facts.rows ?? 0;
            of = { peer, facts: factsOf(peer, id) };
          }
          const command = state(row, of.facts);
          if (wanted.has(command.state)) found.add(command);
        }
        const isLast = i === rows.length - 1;
        if (found.isFull || work + (of?.facts.rows ?? 0) > SLICE_ROWS || isLast)
          return {
            items: found.entries,
            next: isLast && rows.length < SLICE_COMMANDS ? null : { agentKey: peer, hash: text(row, 'hash') },
          };
      }
      return { items: found.entries, next: null };
    },
  };
}

export function backlogReads(database: SqlDatabase) {
  const whole = database.prepare(`
    SELECT count(*) AS agents, coalesce(sum(messages), 0) AS messages, coalesce(sum(bytes), 0) AS bytes, min(oldest_at) AS oldest_at
      FROM outbox_log WHERE messages > 0`);
  const largest = database.prepare(`
    SELECT agent.name AS name, messages, bytes, oldest_at FROM outbox_log JOIN agent ON agent.key = peer
      WHERE messages > 0 ORDER BY messages DESC, peer LIMIT ?`);
  const backlogOf = (row: Row) => ({
    messages: integer(row, 'messages'),
    bytes: integer(row, 'bytes'),
    oldestAt: integerOrNull(row, 'oldest_at'),
  });
  return {
    outboxBacklog(limit: number): OutboxBacklog {
      // An aggregate without GROUP BY has one row.
      const row = whole.get() as Row;
      return {
        agents: integer(row, 'agents'),
        ...backlogOf(row),
        largest: largest.all(limit).map((one) => ({ name: text(one, 'name'), ...backlogOf(one) })),
      };
    },
  };
}

export function commandWithdrawal(
  database: SqlDatabase,
  { outbox, deadLetters }: { readonly outbox: OutboxLog; readonly deadLetters: ReturnType<typeof deadLetterWrites> },
) {
  const reads = commandReads(database);
  // `offered`: what the last session may have sent. An open one may have sent everything.
  const unsent = database.prepare(`
    SELECT agent.key FROM agent JOIN outbox_log ON outbox_log.peer = agent.key
      WHERE agent.id = ? AND offered < ? AND (session IS NULL OR session_ended_at IS NOT NULL)`);
  return {
    withdrawCommand(commandId: string, at: number): void {
      const command = reads.findCommand(commandId);
      if (command === undefined) throw storeFault('command_id_unknown', { id: commandId.slice(0, 64) });
      const { number, state, agent } = command;
      const row = state === 'queued' && number !== null ? unsent.get(agent.id, number) : undefined;
      const given = row === undefined || number === null ? undefined : outbox.withdraw(integer(row, 'key'), number);
      if (given === undefined) throw storeFault('command_delivered', { id: commandId, agent: agent.name, state });
      const { id, reason, json } = given;
      deadLetters.recordDeadLetters([
        {
          at,
          direction: 'down',
          agentId: agent.id,
          number: given.number,
          through: given.number,
          count: 1,
          id,
          reason,
          json,
        },
      ]);
    },
  };
}

/** The state of a command, from its row in outbox_seen. */
function commandStates(database: SqlDatabase): (row: Row, facts?: AgentFacts) => StoredCommand {
  const log = database.prepare('SELECT incarnation, generation FROM outbox_log WHERE peer = ?');
  const entryAt = database.prepare(`SELECT ${ENTRY} FROM outbox_entry WHERE peer = ? AND number = ?`);
  const facts = agentFacts(database);

  return (row, of = facts(integer(row, 'peer'), text(row, 'agent_id'))) => {
    const [peer, hash] = [integer(row, 'peer'), text(row, 'hash')];
    const logRow = log.get(peer);
    const known = integer(row, 'generation') === integer(logRow, 'generation') ? integer(row, 'number') : null;
    // The log was numbered again: what was not delivered before has another number now.
    const place = known ?? of.numberOf(hash);
    const entry = place === undefined ? undefined : entryAt.get(peer, place);
    const isQueued = entry !== undefined && integer(entry, 'tombstone') === 0;
    const number = entry === undefined ? known : integer(entry, 'number');
    const state = isQueued
      ? 'queued'
      : (tombstoneOf(entry) ??
        of.fateOf(integer(row, 'number'), hash) ??
        (of.isAcknowledged(text(logRow, 'incarnation'), number) ? 'acknowledged' : 'delivered'));
    return {
      commandId: commandIdOf(peer, hash),
      agent: { id: text(row, 'agent_id'), name: text(row, 'agent_name') },
      state,
      queuedAt: integer(row, 'at'),
      number,
      json: isQueued ? text(entry, 'json') : null,
      expiresAt: isQueued ? integerOrNull(entry, 'expires_at') : null,
    };
  };
}

/** What says of one agent what became of its commands: each is read once, when it is first needed. */
interface AgentFacts {
  /** Of a command that waits, by its source and id. */
  numberOf(hash: string): number | undefined;
  fateOf(number: number, hash: string): 'expired' | 'withdrawn' | undefined;
  isAcknowledged(incarnation: string, number: number | null): boolean;
  /** Rows that were read for it. */
  readonly rows: number;
}

function agentFacts(database: SqlDatabase): (peer: number, agentId: string) => AgentFacts {
  const entries = database.prepare('SELECT number, json FROM outbox_entry WHERE peer = ?');
  const letters = database.prepare(
    "SELECT key, number, reason FROM dead_letter WHERE agent_id = ? AND direction = 'down' ORDER BY key DESC",
  );
  const letter = database.prepare('SELECT json FROM dead_letter WHERE key = ?');
  const report = database.prepare('SELECT report FROM consumer_report WHERE agent = ?');

  return (peer, agentId) => {
    let rows = 0;
    const byHash = once(() => {
      const found = new Map<string, number>();
      for (const row of entries.iterate(peer)) found.set(hashOf(text(row, 'json')), integer(row, 'number'));
      rows += found.size;
      return found;
    });
    const byNumber = once(() => {
      const found = new Map<number, Row[]>();
      for (const row of letters.iterate(agentId)) {
        const number = integer(row, 'number');
        const same = found.get(number);
        if (same === undefined) found.set(number, [row]);
        else same.push(row);
        rows += 1;
      }
      return found;
    });
    const reported = once(() => {
      const json = textOrNull(report.get(peer) ?? { report: null }, 'report');
      // Written by recordConsumers only.
      return json === null ? undefined : (JSON.parse(json) as Pick<ConsumerReport, 'consumers' | 'position'>);
    });
    return {
      numberOf: (hash) => byHash().get(hash),
      fateOf(number, hash) {
        // Those that expired at the agent have the number 0 if the log restarted since.
        for (const at of number === 0 ? [0] : [number, 0])
          for (const row of byNumber().get(at) ?? []) {
            const fate = fateIn(text(row, 'reason'));
            if (fate !== undefined && hashOf(text(letter.get(integer(row, 'key')), 'json')) === hash) return fate;
          }
        return undefined;
      },
      /** True when no consumer waits for one with this number, or an earlier one: whichever got it has acknowledged it. */
      isAcknowledged(incarnation, number) {
        const found = reported();
        if (found === undefined || number === null) return false;
        const { position, consumers } = found;
        return (
          position?.incarnation === incarnation &&
          position.number >= number &&
          consumers.every(({ waitingFrom }) => waitingFrom === null || waitingFrom > number)
        );
      },
      get rows() {
        return rows;
      },
    };
  };
}

function fateIn(reason: string): 'expired' | 'withdrawn' | undefined {
  if (reason === WITHDRAWN) return 'withdrawn';
  return reason === EXPIRED || reason === EXPIRED_AT_AGENT ? 'expired' : undefined;
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

/** Why a message was given up whose tombstone waits for the agent. */
function tombstoneOf(entry: Row | undefined): 'expired' | 'withdrawn' | undefined {
  if (entry === undefined) return undefined;
  const { tombstone } = JSON.parse(text(entry, 'json')) as { readonly tombstone: string };
  return tombstone === WITHDRAWN ? 'withdrawn' : 'expired';
}

/** Of a message or of a tombstone: '' where there is neither in the text. */
function hashOf(json: string): string {
  let found: unknown;
  try {
    found = JSON.parse(json);
  } catch {
    return '';
  }
  const { source, id } = isRecord(found) ? found : {};
  return typeof source === 'string' && typeof id === 'string' ? fingerprint({ source, id }) : '';
}
