// Reads what became of commands, and withdraws one that was not sent. Nothing is written for it as commands pass: what
// waits is in the outbox, what was seen of a message beside it, what expired or was withdrawn in the dead letters, and
// what consumers have in the report of the agent.
import type { DatabaseSync } from 'node:sqlite';
import { EXPIRED, EXPIRED_AT_AGENT, WITHDRAWN } from '../../../../shared/delivery/dead-letters.ts';
import { fingerprint } from '../../../../shared/sqlite/logs/fingerprint.ts';
import type { OutboxLog } from '../../../../shared/sqlite/logs/outbox-log.ts';
import { integer, integerOrNull, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import { isRecord } from '../../../../shared/wire/json-schema.ts';
import { commandIdOf, readCommandId } from '../../agents/command-id.ts';
import type { ConsumerReport, Keyed } from '../../agent-store.ts';
import { storeFault } from '../../errors.ts';
import type { OutboxBacklog, StoredCommand } from '../../message-store.ts';
import type { deadLetterWrites } from './dead-letters.ts';

/** A page of the largest messages is not held whole. */
const PAGE_BYTES = 8 * 1024 * 1024;
const ENTRY = 'entry, number, tombstone, bytes, at, expires_at, outbox_entry.id, json';

export function commandReads(database: DatabaseSync) {
  const all = database.prepare(`
    SELECT ${ENTRY}, peer, agent.id AS agent_id, agent.name AS agent_name FROM outbox_entry JOIN agent ON agent.key = peer
      WHERE entry > ? AND tombstone = 0 ORDER BY entry LIMIT ?`);
  const ofAgent = database.prepare(`
    SELECT ${ENTRY}, peer, agent.id AS agent_id, agent.name AS agent_name FROM outbox_entry JOIN agent ON agent.key = peer
      WHERE agent.id = ? AND number > ? AND tombstone = 0 ORDER BY number LIMIT ?`);
  const seen = `
    SELECT outbox_seen.at, outbox_seen.generation, outbox_seen.number, hash, agent.key AS peer, agent.id AS agent_id, agent.name AS agent_name
      FROM agent JOIN outbox_seen ON outbox_seen.peer = agent.key`;
  const byHash = database.prepare(`${seen} WHERE hash = ?1 AND (?2 IS NULL OR agent.id = ?2) ORDER BY agent.name`);
  const byId = database.prepare(`${seen} WHERE hash = ? AND agent.key = ?`);
  const state = commandStates(database);
  return {
    waitingCommands(limit: number, agentId: string | null, after: number): Keyed<StoredCommand>[] {
      const found: Keyed<StoredCommand>[] = [];
      let bytes = 0;
      for (const row of agentId === null ? all.iterate(after, limit) : ofAgent.iterate(agentId, after, limit)) {
        bytes += integer(row, 'bytes');
        if (found.length > 0 && bytes > PAGE_BYTES) break;
        const json = text(row, 'json');
        const hash = hashOf(json);
        found.push({
          key: integer(row, agentId === null ? 'entry' : 'number'),
          commandId: commandIdOf(integer(row, 'peer'), hash),
          agent: { id: text(row, 'agent_id'), name: text(row, 'agent_name') },
          state: 'queued',
          queuedAt: integer(row, 'at'),
          number: integer(row, 'number'),
          json,
          expiresAt: integerOrNull(row, 'expires_at'),
        });
      }
      return found;
    },
    commandsOf: (hash: string, agentId: string | null): StoredCommand[] => byHash.all(hash, agentId).map(state),
    findCommand(commandId: string): StoredCommand | undefined {
      const place = readCommandId(commandId);
      const row = place === undefined ? undefined : byId.get(place.hash, place.agentKey);
      return row === undefined ? undefined : state(row);
    },
  };
}

export function backlogReads(database: DatabaseSync) {
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
  database: DatabaseSync,
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
function commandStates(database: DatabaseSync): (row: Row) => StoredCommand {
  const log = database.prepare('SELECT incarnation, generation FROM outbox_log WHERE peer = ?');
  const entryAt = database.prepare(`SELECT ${ENTRY} FROM outbox_entry WHERE peer = ? AND number = ?`);
  const entries = database.prepare(`SELECT ${ENTRY} FROM outbox_entry WHERE peer = ? ORDER BY number`);
  // Those that expired at the agent have the number 0 if the log restarted since.
  const letters = database.prepare(`
    SELECT reason, json FROM dead_letter WHERE agent_id = ? AND direction = 'down' AND number IN (?, 0) ORDER BY key DESC`);
  const report = database.prepare('SELECT report FROM consumer_report WHERE agent = ?');

  function entryOf(peer: number, number: number | null, hash: string): Row | undefined {
    if (number !== null) return entryAt.get(peer, number);
    // The log was numbered again: what was not delivered before has another number now.
    for (const row of entries.iterate(peer)) if (hashOf(text(row, 'json')) === hash) return row;
    return undefined;
  }

  function fateOf(agentId: string, number: number, hash: string): 'expired' | 'withdrawn' | undefined {
    for (const letter of letters.iterate(agentId, number)) {
      const reason = text(letter, 'reason');
      if (hashOf(text(letter, 'json')) !== hash) continue;
      if (reason === WITHDRAWN) return 'withdrawn';
      if (reason === EXPIRED || reason === EXPIRED_AT_AGENT) return 'expired';
    }
    return undefined;
  }

  /** True when no consumer waits for one with this number, or an earlier one: whichever got it has acknowledged it. */
  function isAcknowledged(peer: number, incarnation: string, number: number | null): boolean {
    const found = textOrNull(report.get(peer) ?? { report: null }, 'report');
    if (found === null || number === null) return false;
    // Written by recordConsumers only.
    const { position, consumers } = JSON.parse(found) as Pick<ConsumerReport, 'consumers' | 'position'>;
    return (
      position?.incarnation === incarnation &&
      position.number >= number &&
      consumers.every(({ waitingFrom }) => waitingFrom === null || waitingFrom > number)
    );
  }

  return (row) => {
    const [peer, hash, agentId] = [integer(row, 'peer'), text(row, 'hash'), text(row, 'agent_id')];
    const logRow = log.get(peer);
    const known = integer(row, 'generation') === integer(logRow, 'generation') ? integer(row, 'number') : null;
    const entry = entryOf(peer, known, hash);
    const isQueued = entry !== undefined && integer(entry, 'tombstone') === 0;
    const number = entry === undefined ? known : integer(entry, 'number');
    const state = isQueued
      ? 'queued'
      : (tombstoneOf(entry) ??
        fateOf(agentId, integer(row, 'number'), hash) ??
        (isAcknowledged(peer, text(logRow, 'incarnation'), number) ? 'acknowledged' : 'delivered'));
    return {
      commandId: commandIdOf(peer, hash),
      agent: { id: agentId, name: text(row, 'agent_name') },
      state,
      queuedAt: integer(row, 'at'),
      number,
      json: isQueued ? text(entry, 'json') : null,
      expiresAt: isQueued ? integerOrNull(entry, 'expires_at') : null,
    };
  };
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
