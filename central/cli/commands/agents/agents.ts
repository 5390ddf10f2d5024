// The commands on agents: list, show, history, replace, delete.
import type { Client } from '../../client.ts';
import type { Command } from '../../command.ts';
import { LIST, readList } from '../../list.ts';
import { facts, fingerprint, recordOf, rowsOf, shown } from '../../print.ts';
import { cutOffText, DRY_RUN, noticeText, REASON, termsOf, YES } from '../../terms.ts';
import { WATCH } from '../../watching/watch.ts';

export const agentCommands: readonly Command[] = [
  {
    name: 'agents list',
    watches: 'agents',
    usage: '[--state STATE] [--label TERMS] [--name PATTERN] [--last-seen-before TIME] [--sort KEY]',
    summary: 'agents with state, transport and what waits for them',
    help: 'TERMS are region=north,tier!=test: all of them hold. An option that is repeated means one of its values. The reason is a code of docs/ERRORS.md; --wide shows it in words, with version, release of the profile and labels.',
    options: {
      label: { type: 'string', short: 'l', value: 'TERMS', isList: true, doc: 'only with these labels' },
      name: { type: 'string', value: 'PATTERN', isList: true, doc: 'only with such a name; * means any characters' },
      state: {
        type: 'string',
        isList: true,
        doc: 'only in this state, such as online or dropped; docs/AGENTS.md lists them',
      },
      transport: { type: 'string', isList: true, doc: 'only those whose last session was over ws, or wss' },
      'agent-version': { type: 'string', value: 'VERSION', isList: true, doc: 'only with this version of queue-agent' },
      release: {
        type: 'string',
        value: 'NAME@PREFIX',
        isList: true,
        doc: 'only those that report this release of a profile or of software',
      },
      'last-seen-before': {
        type: 'string',
        value: 'TIME',
        doc: 'only those that are not connected since then, such as 2026-11-27T08:00:00Z',
      },
      sort: {
        type: 'string',
        value: 'KEY',
        doc: 'name, state, lastSeenAt or queuedCount; with - in front the reverse order',
      },
      ...LIST,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await readList(call, '/agents', {
        state: call.list('state'),
        transport: call.list('transport'),
        version: call.list('agent-version'),
        release: call.list('release'),
        lastSeenBefore: call.text('last-seen-before'),
        label: call.list('label'),
        name: call.list('name'),
        sort: call.text('sort'),
      });
      const isWide = call.format === 'wide';
      call.answer(answer, () =>
        call.table(
          [...COLUMNS, ...(isWide ? WIDE_COLUMNS : [])],
          rowsOf(answer, 'items').map((agent) => [...agentRow(agent), ...(isWide ? wideCells(agent) : [])]),
          'No agents. "queuegate enrollment-tokens create" prints the command line that enrolls one.',
        ),
      );
    },
  },
  {
    name: 'agents show',
    watches: 'agents',
    usage: 'AGENT',
    summary: 'one agent, by id, name or the beginning of its id',
    options: WATCH,
    words: { least: 1, most: 1 },
    async run(call) {
      const agent = await findAgent(call.client, call.words[0] ?? '');
      const [session, logs] = [recordOf(agent['session']), recordOf(agent['logs'])];
      const [certificate, renewal, revocation] = [
        recordOf(agent['certificate']),
        recordOf(agent['renewal']),
        recordOf(agent['revocation']),
      ];
      const [down, up] = [recordOf(logs['down']), recordOf(logs['up'])];
      call.answer(agent, () =>
        facts([
          ['name', agent['name']],
          ['id', agent['id']],
          ['labels', labelsText(agent)],
          ['notes', agent['notes']],
          [
            'state',
            `${shown(agent['state'])} since ${shown(agent['stateChangedAt'])}${agent['stateDeadlineAt'] === null ? '' : ` until ${shown(agent['stateDeadlineAt'])}`}: ${reasonText(agent)}`,
          ],
          ['hint', recordOf(agent['stateReason'])['hint']],
          ['key', `sha256:${shown(agent['keyThumbprint'])}`],
          [
            'certificate',
            agent['certificate'] === null
              ? 'not recorded'
              : `until ${shown(certificate['notAfter'])}, serial ${shown(certificate['serialNumber'])}, issued by ${shown(certificate['issuerThumbprint'])}`,
          ],
          ['SHA-256', certificate['thumbprint'] === undefined ? null : fingerprint(certificate['thumbprint'])],
          [
            'next key',
            agent['renewal'] === null
              ? null
              : `sha256:${shown(renewal['keyThumbprint'])}, since ${shown(renewal['startedAt'])}, ${renewal['installedAt'] === null ? 'not installed yet' : `installed ${shown(renewal['installedAt'])}`}`,
          ],
          ...(agent['revocation'] === null
            ? []
            : [['revoked', `${shown(revocation['revokedAt'])}: ${shown(revocation['reason'])}`] as const]),
          ['enrolled', `${shown(agent['enrolledAt'])} by ${shown(agent['enrolledBy'])}`],
          [
            'connection',
            agent['session'] === null
              ? null
              : `${shown(session['transport'])} from ${shown(session['address'])}, version ${shown(session['version'])}, since ${shown(session['startedAt'])}${session['endedAt'] === null ? '' : `, ended ${shown(session['endedAt'])}`}`,
          ],
          ...['profile', 'program', 'runtime'].map((part) => [part, releaseText(agent, part)] as const),
          [
            'commands waiting',
            `${shown(down['messageCount'])} (${shown(down['bytes'])} bytes)${down['oldestAt'] === null ? '' : `, oldest ${shown(down['oldestAt'])}`}`,
          ],
          ...consumerFacts(agent),
          ...queueFacts(agent),
          ...portFacts(agent),
          ['events received', `${shown(up['number'])}${up['lastAt'] === null ? '' : `, last ${shown(up['lastAt'])}`}`],
        ]),
      );
    },
  },
  {
    name: 'agents history',
    watches: 'agents',
    usage: 'AGENT',
    summary: 'the last 50 changes of the state of an agent, newest first, with their reasons',
    options: LIST,
    words: { least: 1, most: 1 },
    async run(call) {
      const agent = await findAgent(call.client, call.words[0] ?? '');
      const answer = await readList(call, `/agents/${idIn(agent)}/history`);
      call.answer(answer, () =>
        call.table(
          ['since', 'state', 'reason'],
          rowsOf(answer, 'items').map((row) => [row['stateChangedAt'], row['state'], reasonText(row)]),
          'No changes.',
        ),
      );
    },
  },
  {
    name: 'agents replace',
    usage: 'AGENT --by REQUEST|AGENT',
    summary: 'let another machine take the place of an agent',
    help: 'With the thumbprint of an enrollment request, the agent keeps its id and gets the key of the new machine. With an agent that is enrolled already, that one keeps its id, takes name, labels, notes, history and waiting commands, and the old one is deleted. Commands that the old machine had not acknowledged are sent to the new one.',
    options: {
      by: {
        type: 'string',
        value: 'REQUEST|AGENT',
        doc: 'the thumbprint of the request, or the agent, of the new machine',
      },
      ...DRY_RUN,
      ...YES,
      ...REASON,
    },
    asks: 'always',
    words: { least: 1, most: 1 },
    async run(call) {
      const by = call.text('by');
      if (by === undefined) throw call.complain('--by is required');
      const agent = await findAgent(call.client, call.words[0] ?? '');
      await call.confirm({
        act: `Replace the agent ${shown(agent['name'])} by ${by}`,
        effect: 'The key of the old machine is not accepted any more.',
      });
      const answer = await call.client.request('POST', `/agents/${idIn(agent)}/replace`, {
        query: termsOf(call),
        body: { by },
      });
      if (call.flag('dry-run')) return call.answer(answer, () => restrictionText(answer, agent, `replaced by ${by}`));
      const { name, id } = recordOf(answer);
      call.answer(answer, () => `${shown(name)} has the key of the new machine; its id is ${shown(id)}.`);
    },
  },
  {
    name: 'agents delete',
    usage: 'AGENT',
    summary: 'delete an agent with its messages; it must enroll again',
    options: { ...DRY_RUN, ...YES, ...REASON },
    asks: 'always',
    words: { least: 1, most: 1 },
    async run(call) {
      const agent = await findAgent(call.client, call.words[0] ?? '');
      await call.confirm({
        act: `Delete the agent ${shown(agent['name'])}`,
        effect: 'Its messages are lost, and it must enroll again.',
        name: agent['name'],
      });
      const report = await call.client.request('DELETE', `/agents/${idIn(agent)}`, { query: termsOf(call) });
      if (call.flag('dry-run')) return call.answer(report, () => restrictionText(report, agent, 'deleted'));
      call.answer({ deleted: agent['id'] }, () => `Deleted ${shown(agent['name'])}.`);
    },
  },
];

export function restrictionText(report: unknown, { name }: Readonly<Record<string, unknown>>, to: string): string {
  return [`${shown(name)} would be ${to}.`, ...cutOffText(report, 'Would cut off:'), ...noticeText(report)].join('\n');
}

/** The reason of a state with its code, which ERRORS.md explains. */
function reasonText(row: Readonly<Record<string, unknown>>): string {
  const { code, detail } = recordOf(row['stateReason']);
  return code === null ? shown(detail) : `${shown(detail)} (${shown(code)})`;
}

/** As they are typed. */
export function labelsText(agent: Readonly<Record<string, unknown>>): string {
  return Object.entries(recordOf(agent['labels']))
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : ''}`)
    .join(', ');
}

const COLUMNS = ['name', 'state', 'since', 'reason', 'transport', 'address', 'waiting', 'events', 'id'];
const WIDE_COLUMNS = ['version', 'release', 'last seen', 'why', 'labels'];

function wideCells(agent: Readonly<Record<string, unknown>>): unknown[] {
  const [version, reason] = [recordOf(agent['session'])['version'], recordOf(agent['stateReason'])['detail']];
  return [version, releaseText(agent, 'profile'), agent['lastSeenAt'], reason, labelsText(agent)];
}

/** Of this part; as `--release` takes it. */
function releaseText(agent: Readonly<Record<string, unknown>>, of: string): string | null {
  const release = rowsOf(agent, 'releases').find(({ part }) => part === of);
  if (release === undefined) return null;
  const [name, prefix] = [release['name'], shown(release['digest']).slice(0, 8)];
  return typeof name === 'string' ? `${name}@${prefix}` : prefix;
}

function agentRow(agent: Readonly<Record<string, unknown>>): unknown[] {
  const last = recordOf(agent['session']);
  const session = last['endedAt'] === null ? last : {};
  const logs = recordOf(agent['logs']);
  return [
    agent['name'],
    agent['state'],
    agent['stateChangedAt'],
    recordOf(agent['stateReason'])['code'],
    session['transport'],
    session['address'],
    recordOf(logs['down'])['messageCount'],
    recordOf(logs['up'])['number'],
    agent['id'],
  ];
}

/**
 * The agent that a word refers to: Central decides, so that it is the same one everywhere. Errors: agent_unknown,
 * agent_ambiguous.
 */
export async function findAgent(client: Client, word: string): Promise<Readonly<Record<string, unknown>>> {
  return recordOf(await client.request('GET', `/agents/${encodeURIComponent(word)}`));
}

export function idIn(agent: Readonly<Record<string, unknown>>): string {
  return encodeURIComponent(typeof agent['id'] === 'string' ? agent['id'] : '');
}

function queueFacts(agent: unknown): [string, string][] {
  const { queues } = recordOf(agent);
  return Array.isArray(queues) && queues.length > 0 ? [['queues', shown(queues)]] : [];
}

function portFacts(agent: unknown): [string, string][] {
  const { devicePort } = recordOf(agent);
  if (devicePort === null || devicePort === undefined) return [];
  const { listenPort, state, notAfter, connectionCount, reportedAt } = recordOf(devicePort);
  const until = notAfter === null ? 'no certificate' : `certificate until ${shown(notAfter)}`;
  const connected = `${shown(connectionCount)} connected`;
  return [['device port', `${shown(listenPort)} ${shown(state)}, ${until}, ${connected} (as of ${shown(reportedAt)})`]];
}

/** What the agent reported of the programs that take its commands; an acknowledged number is one of Central's log. */
function consumerFacts(agent: unknown): [string, string][] {
  const { consumers, inboxFull } = recordOf(agent);
  if (consumers === null) return [['consumers', 'not reported yet']];
  const rows = rowsOf(agent, 'consumers');
  return [
    [
      'consumers',
      `as of ${shown(rows[0]?.['reportedAt'])}${inboxFull === true ? '; the inbox of the agent is full' : ''}`,
    ],
    ...rows.map(({ name, acknowledged, waitingCount }): [string, string] => {
      const number = acknowledged === null ? 0 : recordOf(acknowledged)['number'];
      const through = number === 0 ? 'none' : `through ${shown(number)}`;
      return [`  ${shown(name)}`, `acknowledged: ${through}; ${shown(waitingCount)} not acknowledged`];
    }),
  ];
}
