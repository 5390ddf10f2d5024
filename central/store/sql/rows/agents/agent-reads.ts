// Reads agents: their rows, with both logs and both certificates, as records.
import type { SqlDatabase } from '../../../../../shared/sqlite/sql.ts';
import { countsByState, integer, integerOrNull, text, textOrNull, type Row } from '../../../../../shared/sqlite/row.ts';
import { TextPage } from '../../../../../shared/text-page.ts';
import { MIN_ID_PREFIX } from '../../../agent-names.ts';
import {
  AGENT_STATES,
  type AgentRecord,
  type AgentReportedRelease,
  type AgentState,
  type AgentStore,
  type ConsumerReport,
  type SelectedAgent,
  type SessionRecord,
} from '../../../agent-store.ts';
import { matchesAgent, textOfAgent, type AgentMatch, type Labels, type LabelTerm } from '../../../agents/labels.ts';

import { AGENT_SORTS, sortKeyOf, type AgentSort } from '../../../agents/sort.ts';
import type { AgentCertificate } from '../../../certificate-store.ts';
import { storeFault } from '../../../errors.ts';
import { BEHIND_ANY, ID_BEGINS_WITH } from './agent-names.ts';
import { revocationOf } from '../certificates.ts';

const CERTIFICATE_COLUMNS = [
  'thumbprint',
  'serial',
  'issuer',
  'key_thumbprint',
  'not_before',
  'not_after',
  'issued_at',
  'installed_at',
  'revoked_at',
  'revocation_reason',
] as const;
const certificateColumns = (table: 'current' | 'next'): string =>
  CERTIFICATE_COLUMNS.map((column) => `${table}_one.${column} AS ${table}_one_${column}`).join(', ');

/** One row with both logs, both certificates and the releases: look-ups by key, whatever the logs hold. */
export const SELECT_AGENT = `
  SELECT agent.*, ${certificateColumns('current')}, ${certificateColumns('next')},
    outbox_log.incarnation AS outbox_incarnation, outbox_log.messages AS outbox_messages, outbox_log.bytes AS outbox_bytes,
    outbox_log.oldest_at AS outbox_oldest_at, inbox_log.incarnation AS inbox_incarnation, inbox_log.number AS inbox_number, inbox_log.last_at AS inbox_last_at,
    inbox_log.deduplicates AS inbox_deduplicates,
    (SELECT json_group_array(json_object('part', kind, 'digest', reported,
        'name', (SELECT release.name FROM release WHERE release.digest = reported)) ORDER BY kind)
      FROM agent_release WHERE agent_release.agent = agent.key AND reported IS NOT NULL) AS reported_releases
  FROM agent JOIN outbox_log ON outbox_log.peer = agent.key JOIN inbox_log ON inbox_log.peer = agent.key
    LEFT JOIN agent_certificate AS current_one ON current_one.thumbprint = agent.certificate
    LEFT JOIN agent_certificate AS next_one ON next_one.thumbprint = agent.next_certificate`;

export function agentRows(database: SqlDatabase): (id: string) => Row | undefined {
  const byId = database.prepare(`${SELECT_AGENT} WHERE agent.id = ?`);
  return (id) => byId.get(id);
}

/** An agent's row, or agent_unknown. */
export function findById(database: SqlDatabase): (id: string) => Row {
  const byId = agentRows(database);
  return (id) => {
    const row = byId(id);
    if (row === undefined) throw storeFault('agent_unknown', { id });
    return row;
  };
}

export function agentReads(database: SqlDatabase) {
  const byId = database.prepare(`${SELECT_AGENT} WHERE agent.id = ?`);
  const byKey = database.prepare(`${SELECT_AGENT} WHERE agent.key_thumbprint = ?`);
  const byName = database.prepare(`${SELECT_AGENT} WHERE agent.name = ?`);
  const byPrefix = database.prepare(
    `${SELECT_AGENT} WHERE ${ID_BEGINS_WITH} ORDER BY agent.id COLLATE NOCASE LIMIT ?3`,
  );
  const page = database.prepare(
    `${SELECT_AGENT} WHERE ${FITS_FILTER} AND agent.name > ?6 ORDER BY agent.name LIMIT ?7`,
  );
  const selected = selectedAgents(database);
  const sorted = sortedAgents(database);
  const byState = database.prepare('SELECT state, count(*) AS rows FROM agent GROUP BY state');
  function* rowsOf(agents: Iterable<LabeledAgent>): Generator<Row> {
    for (const { name } of agents) {
      const row = byName.get(name);
      if (row !== undefined) yield row;
    }
  }
  const labelsById = database.prepare('SELECT id, labels FROM agent WHERE id IN (SELECT value FROM json_each(?))');
  return {
    ...consumerReads(database),
    countAgentsByState: () => countsByState(AGENT_STATES, byState.all()),
    getAgent: (id: string) => oneAgent(byId.get(id)),
    findAgentByKey: (keyThumbprint: string) => oneAgent(byKey.get(keyThumbprint)),
    findAgentByName: (name: string) => oneAgent(byName.get(name)),
    findAgentsByReference(reference: string, limit: number): AgentRecord[] {
      const exact = byId.get(reference) ?? byName.get(reference);
      if (exact !== undefined) return [agentRecord(exact)];
      return reference.length < MIN_ID_PREFIX
        ? []
        : byPrefix.all(reference, `${reference}${BEHIND_ANY}`, limit).map(agentRecord);
    },
    listAgents({ after = '', limit, sort, names, labels, ...columns }: AgentListPage): AgentRecord[] {
      const filter = filterValues(columns);
      if (sort === undefined && names === undefined && labels === undefined)
        return pageOfAgents(limit, page.iterate(...filter, after, limit));
      const groups = [patternMatches(names), labelMatches(labels)];
      const fitting = sort === undefined ? selected.behind(after, filter, groups) : sorted(sort, filter, groups);
      return pageOfAgents(limit, rowsOf(fitting));
    },
    labelsOfAgents: (ids: readonly string[]) =>
      labelsById.all(JSON.stringify(ids)).map((row) => [text(row, 'id'), labelsOf(row)] as const),
    selectAgents: (matches: readonly AgentMatch[], within: readonly LabelTerm[]): SelectedAgent[] =>
      Array.from(
        selected.behind('', filterValues({}), [matches, [{ kind: 'labels', terms: within }]]),
        ({ id, name, state, offlineSince }) => ({ id, name, state, offlineSince }),
      ),
    selectAgentIds: (matches: readonly AgentMatch[]) =>
      Array.from(selected.behind('', filterValues({}), [matches]), ({ id }) => id),
  };
}

type AgentListPage = Parameters<AgentStore['list']>[0];
/** An agent whose labels are compared. */
type LabeledAgent = SelectedAgent & { readonly labels: Labels };

/** As many rows as belong into one page. */
function pageOfAgents(limit: number, rows: Iterable<Row>): AgentRecord[] {
  const found = new TextPage<AgentRecord>(limit, textOfAgent);
  for (const row of rows) {
    found.add(agentRecord(row));
    if (found.isFull) break;
  }
  return found.entries;
}

/** What a list leaves out by columns of the agent; each of the five values is null where all fit. */
export const FITS_FILTER = `
  (?1 IS NULL OR agent.state IN (SELECT value FROM json_each(?1)))
  AND (?2 IS NULL OR agent.session_transport IN (SELECT value FROM json_each(?2)))
  AND (?3 IS NULL OR agent.session_version IN (SELECT value FROM json_each(?3)))
  AND (?4 IS NULL OR agent.session_ended_at < ?4)
  AND (?5 IS NULL OR EXISTS (
    SELECT 1 FROM json_each(?5) AS wanted JOIN agent_release ON agent_release.agent = agent.key
    WHERE glob(json_extract(wanted.value, '$.prefix') || '*', agent_release.reported)
      AND (json_extract(wanted.value, '$.name') IS NULL
        OR json_extract(wanted.value, '$.name') = (SELECT release.name FROM release WHERE release.digest = agent_release.reported))))`;

type FilterValues = readonly [string | null, string | null, string | null, number | null, string | null];

export function filterValues({
  states,
  transports,
  versions,
  lastSeenBefore,
  releases,
}: Pick<AgentListPage, 'lastSeenBefore' | 'releases' | 'states' | 'transports' | 'versions'>): FilterValues {
  const listed = (values: readonly unknown[] | undefined) => (values === undefined ? null : JSON.stringify(values));
  return [listed(states), listed(transports), listed(versions), lastSeenBefore ?? null, listed(releases)];
}

export const patternMatches = (names: AgentListPage['names']): AgentMatch[] =>
  names === undefined ? [{ kind: 'all' }] : names.map((pattern) => ({ kind: 'name', pattern }));
export const labelMatches = (labels: AgentListPage['labels']): AgentMatch[] =>
  labels === undefined ? [{ kind: 'all' }] : labels.map((terms) => ({ kind: 'labels', terms }));

/** One match of each group fits. */
export function fitsAll(
  agent: { readonly labels: Labels; readonly name: string },
  groups: readonly (readonly AgentMatch[])[],
): boolean {
  return groups.every((matches) => matches.some((match) => matchesAgent(match, agent)));
}

/**
 * Reads a few columns of each agent in order of name, whatever is selected: ten thousand take some tens of milliseconds
 * of the reading thread. Labels have no index of their own.
 */
function selectedAgents(database: SqlDatabase) {
  const all = database.prepare(
    `SELECT id, name, state, labels, session_ended_at FROM agent WHERE ${FITS_FILTER} AND name > ?6 ORDER BY name`,
  );
  return {
    /** Those behind this name for which one match of each group fits. */
    *behind(after: string, filter: FilterValues, groups: readonly (readonly AgentMatch[])[]): Generator<LabeledAgent> {
      for (const row of all.iterate(...filter, after)) {
        const agent = selectedAgent(row);
        if (fitsAll(agent, groups)) yield agent;
      }
    },
  };
}

/** The values of `placeOf` (central/store/agents/sort.ts), as SQL. */
const SORT_VALUE: Readonly<Record<ReturnType<typeof sortKeyOf>['key'], string>> = {
  name: 'agent.name',
  state: 'agent.state',
  lastSeenAt: `iif(agent.session IS NULL, -1, coalesce(agent.session_ended_at, ${Number.MAX_SAFE_INTEGER}))`,
  queuedCount: 'outbox_log.messages',
};

function sortedAgents(database: SqlDatabase) {
  const statements = new Map(
    AGENT_SORTS.map((by) => {
      const { key, descending } = sortKeyOf(by);
      const [value, behind] = [SORT_VALUE[key], descending ? '<' : '>'];
      const statement = database.prepare(`SELECT agent.id, agent.name, agent.state, agent.labels, agent.session_ended_at
        FROM agent JOIN outbox_log ON outbox_log.peer = agent.key
        WHERE ${FITS_FILTER} AND (?7 IS NULL OR ${value} ${behind} ?6 OR (${value} = ?6 AND agent.id > ?7))
        ORDER BY ${value} ${descending ? 'DESC' : 'ASC'}, agent.id`);
      return [by, statement] as const;
    }),
  );
  return function* (
    { by, after }: AgentSort,
    filter: FilterValues,
    groups: readonly (readonly AgentMatch[])[],
  ): Generator<LabeledAgent> {
    for (const row of statements.get(by)?.iterate(...filter, after?.value ?? null, after?.id ?? null) ?? []) {
      const agent = selectedAgent(row);
      if (fitsAll(agent, groups)) yield agent;
    }
  };
}

function selectedAgent(row: Row): LabeledAgent {
  return {
    id: text(row, 'id'),
    name: text(row, 'name'),
    // Written by agents.ts and agent-changes.ts only.
    state: text(row, 'state') as AgentState,
    labels: labelsOf(row),
    offlineSince: integerOrNull(row, 'session_ended_at'),
  };
}

export function labelsOf(row: Row): Labels {
  // Written by agent-changes.ts only.
  return JSON.parse(text(row, 'labels')) as Labels;
}

function consumerReads(database: SqlDatabase) {
  const find = database.prepare(`
    SELECT consumer_report.epoch, consumer_report.at, consumer_report.report FROM consumer_report
    JOIN agent ON agent.key = consumer_report.agent WHERE agent.id = ?`);
  return {
    consumersOf(agentId: string): ConsumerReport | undefined {
      const row = find.get(agentId);
      if (row === undefined) return undefined;
      // Written by recordConsumers only.
      const report = JSON.parse(text(row, 'report')) as Pick<ConsumerReport, 'position' | 'inboxFull' | 'consumers'>;
      return { agentId, epoch: integer(row, 'epoch'), at: integer(row, 'at'), ...report };
    },
  };
}

function stateUntil(row: Row): number | null {
  const state = text(row, 'state');
  if (state === 'quarantined') return integerOrNull(row, 'quarantined_until');
  return state === 'draining' || state === 'throttled' ? integerOrNull(row, 'state_until') : null;
}

function oneAgent(row: Row | undefined): AgentRecord | undefined {
  return row === undefined ? undefined : agentRecord(row);
}

export function agentRecord(row: Row): AgentRecord {
  return {
    key: integer(row, 'key'),
    id: text(row, 'id'),
    name: text(row, 'name'),
    isNameSet: integer(row, 'name_set') === 1,
    labels: labelsOf(row),
    notes: text(row, 'notes'),
    version: integer(row, 'version'),
    changedBy: textOrNull(row, 'changed_by'),
    publicKey: text(row, 'public_key'),
    keyThumbprint: text(row, 'key_thumbprint'),
    enrolledAt: integer(row, 'enrolled_at'),
    enrolledBy: text(row, 'enrolled_by'),
    // Written by the statements above only.
    state: text(row, 'state') as AgentState,
    stateSince: integer(row, 'state_since'),
    stateReason: text(row, 'state_reason'),
    stateUntil: stateUntil(row),
    epoch: integer(row, 'epoch'),
    session: sessionRecord(row),
    quarantinedUntil: integerOrNull(row, 'quarantined_until'),
    certificate: certificateOf(row, 'current'),
    next: nextOf(row),
    revocation: revocationOf(row, 'state_since', 'revocation_reason'),
    outbox: {
      incarnation: text(row, 'outbox_incarnation'),
      messages: integer(row, 'outbox_messages'),
      bytes: integer(row, 'outbox_bytes'),
      oldestAt: integerOrNull(row, 'outbox_oldest_at'),
    },
    inbox: {
      incarnation: textOrNull(row, 'inbox_incarnation'),
      number: integer(row, 'inbox_number'),
      lastAt: integerOrNull(row, 'inbox_last_at'),
    },
    // Written by json_group_array above.
    releases: JSON.parse(text(row, 'reported_releases')) as AgentReportedRelease[],
  };
}

function nextOf(row: Row): AgentRecord['next'] {
  const certificate = certificateOf(row, 'next');
  return certificate === null
    ? null
    : { publicKey: text(row, 'next_public_key'), keyThumbprint: text(row, 'next_key_thumbprint'), certificate };
}

function certificateOf(row: Row, which: 'current' | 'next'): AgentCertificate | null {
  const column = (name: (typeof CERTIFICATE_COLUMNS)[number]): string => `${which}_one_${name}`;
  const thumbprint = textOrNull(row, column('thumbprint'));
  if (thumbprint === null) return null;
  return {
    thumbprint,
    serial: text(row, column('serial')),
    issuer: text(row, column('issuer')),
    keyThumbprint: text(row, column('key_thumbprint')),
    notBefore: integer(row, column('not_before')),
    notAfter: integer(row, column('not_after')),
    issuedAt: integer(row, column('issued_at')),
    installedAt: integerOrNull(row, column('installed_at')),
    revoked: revocationOf(row, column('revoked_at'), column('revocation_reason')),
  };
}

function sessionRecord(row: Row): SessionRecord | null {
  const session = textOrNull(row, 'session');
  if (session === null) return null;
  return {
    session,
    bootId: text(row, 'session_boot'),
    version: text(row, 'session_version'),
    transport: text(row, 'session_transport') as SessionRecord['transport'],
    address: text(row, 'session_address'),
    node: text(row, 'session_node'),
    since: integer(row, 'session_since'),
    endedAt: integerOrNull(row, 'session_ended_at'),
  };
}
