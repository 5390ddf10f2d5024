// The commands on tokens: API tokens for people and programs, enrollment tokens for machines.
import { secondsOf } from '../../../shared/terminal/quantities.ts';
import type { Command, CommandCall } from '../command.ts';
import { shellWord } from '../../../shared/terminal/escape.ts';
import { LIST, readList } from '../list.ts';
import { facts, recordOf, rowsOf, shown } from '../print.ts';
import { IF_MATCH, REASON, termsOf, YES } from '../terms.ts';
import { SECRET_OUT, secretPlace } from '../secret-answer.ts';

const HELP =
  'The secret is shown on a terminal only. Otherwise, and with --out, it is written to a new file with mode 0600, also with --json: the\nanswer names the file. Without --out the file is in $XDG_STATE_HOME/queuegate, or ~/.local/state/queuegate.';
const NONE = { least: 0, most: 0 } as const;
const ONE = { least: 1, most: 1 } as const;

export const tokenCommands: readonly Command[] = [
  {
    name: 'api-tokens list',
    namedBy: 'id',
    usage: '',
    summary: 'API tokens, without their secrets',
    options: LIST,
    words: NONE,
    async run(call) {
      const answer = await readList(call, '/api-tokens');
      call.answer(answer, () =>
        call.table(
          ['id', 'name', 'role', 'scope', 'created', 'by', 'expires', 'last used'],
          rowsOf(answer, 'items').map((row) => [
            row['id'],
            row['name'],
            row['role'],
            row['scope'] ?? 'all',
            row['createdAt'],
            row['createdBy'],
            row['expiresAt'] ?? 'never',
            row['lastUsedAt'] ?? 'never',
          ]),
          'No API tokens.',
        ),
      );
    },
  },
  {
    name: 'api-tokens show',
    namedBy: 'id',
    usage: 'ID',
    summary: 'one API token, without its secret',
    options: {},
    words: ONE,
    async run(call) {
      const row = recordOf(await call.client.request('GET', `/api-tokens/${encodeURIComponent(call.words[0] ?? '')}`));
      call.answer(row, () =>
        facts([
          ['id', row['id']],
          ['name', row['name']],
          ['role', row['role']],
          ['scope', row['scope'] ?? 'all agents'],
          ['created', `${shown(row['createdAt'])} by ${shown(row['createdBy'])}`],
          ['expires', row['expiresAt'] ?? 'never'],
          ['last used', row['lastUsedAt'] ?? 'never'],
        ]),
      );
    },
  },
  {
    name: 'api-tokens create',
    namedBy: 'id',
    usage: '--name NAME --role viewer|operator|administrator [--scope SELECTOR] [--lifetime DURATION] [--out FILE]',
    summary: 'create an API token; it is shown once, on a terminal, or written to a file',
    help: HELP,
    options: {
      name: { type: 'string', doc: 'the person or program that uses it' },
      role: { type: 'string', doc: 'viewer reads, operator sends commands, administrator does everything' },
      scope: {
        type: 'string',
        doc: 'only for agents with these labels, such as label:region=north; for all agents unless set',
      },
      lifetime: { type: 'string', doc: 'time until it expires, such as 90d; it does not expire unless set' },
      ...SECRET_OUT,
      ...REASON,
    },
    words: NONE,
    async run(call) {
      const [name, role, lifetimeSeconds] = [call.text('name'), call.text('role'), call.seconds('lifetime')];
      if (name === undefined || role === undefined) throw call.complain('--name and --role are required');
      const scope = call.text('scope');
      const place = await secretPlace(call, 'api-token');
      const { token, ...rest } = recordOf(
        await call.client.request('POST', '/api-tokens', {
          query: termsOf(call),
          body: {
            name,
            role,
            ...(scope === undefined ? {} : { scope }),
            ...(lifetimeSeconds === undefined ? {} : { lifetimeSeconds }),
          },
        }),
      );
      const file = await place.keep(shown(token), shown(rest['id']));
      if (file === undefined)
        return call.answer({ ...rest, token }, () => `${shown(token)}\n\nIt is shown only once. Its role is ${role}.`);
      call.answer(
        { ...rest, tokenFile: file },
        () => `The token is in ${file} (mode 0600). Its role is ${role}.\nUse it with --token-file ${shellWord(file)}`,
      );
    },
  },
  {
    name: 'api-tokens set',
    namedBy: 'id',
    usage: 'ID [name=NAME] [role=ROLE] [scope=SELECTOR] [lifetime=DURATION]',
    summary: 'set the name, the role, the scope or the expiry of an API token; its secret stays',
    help: 'lifetime=90d counts from now on; after lifetime= the token does not expire. scope=label:region=north makes it a token for these\nagents only; after scope= it is for all agents. The change counts from the next request on.',
    options: { ...IF_MATCH, ...REASON },
    words: { least: 2, most: 5 },
    async run(call) {
      const [id = '', ...words] = call.words;
      const row = recordOf(
        await call.client.request('PATCH', `/api-tokens/${encodeURIComponent(id)}`, {
          query: termsOf(call),
          body: tokenChange(call, words),
          ifMatch: call.text('if-match'),
        }),
      );
      call.answer(
        row,
        () =>
          `Set ${shown(row['name'])}: role ${shown(row['role'])}, ${row['scope'] === null ? '' : `scope ${shown(row['scope'])}, `}${row['expiresAt'] === null ? 'does not expire' : `expires ${shown(row['expiresAt'])}`}.`,
      );
    },
  },
  {
    name: 'api-tokens delete',
    usage: 'ID',
    summary: 'delete an API token; requests with it are refused at once',
    options: { ...YES, ...REASON },
    asks: 'always',
    words: ONE,
    async run(call) {
      const id = call.words[0] ?? '';
      await call.confirm({
        act: `Delete the API token ${id}`,
        effect:
          (await call.ownTokenId()) === id
            ? 'This command uses it: you lose your access with it.'
            : 'Requests with it are refused at once.',
      });
      await call.client.request('DELETE', `/api-tokens/${encodeURIComponent(call.words[0] ?? '')}`, {
        query: termsOf(call),
      });
      call.answer({ deleted: call.words[0] }, () => `Deleted ${call.words[0]}.`);
    },
  },
  {
    name: 'enrollment-tokens list',
    usage: '',
    summary: 'enrollment tokens, without their secrets',
    options: LIST,
    words: NONE,
    async run(call) {
      const answer = await readList(call, '/enrollment-tokens');
      call.answer(answer, () =>
        call.table(
          ['id', 'used', 'agent', 'created', 'by', 'expires'],
          rowsOf(answer, 'items').map((row) => [
            row['id'],
            `${shown(row['useCount'])} of ${shown(row['maxUses'])}`,
            row['agentName'] ?? 'any',
            row['createdAt'],
            row['createdBy'],
            row['expiresAt'],
          ]),
          'No enrollment tokens.',
        ),
      );
    },
  },
  {
    name: 'enrollment-tokens show',
    usage: 'ID',
    summary: 'one enrollment token, without its secret',
    options: {},
    words: ONE,
    async run(call) {
      const path = `/enrollment-tokens/${encodeURIComponent(call.words[0] ?? '')}`;
      const row = recordOf(await call.client.request('GET', path));
      call.answer(row, () =>
        facts([
          ['id', row['id']],
          ['used', `${shown(row['useCount'])} of ${shown(row['maxUses'])}`],
          ['agent', row['agentName'] ?? 'any'],
          ['created', `${shown(row['createdAt'])} by ${shown(row['createdBy'])}`],
          ['expires', row['expiresAt']],
        ]),
      );
    },
  },
  {
    name: 'enrollment-tokens create',
    usage: '[--agent-name NAME] [--max-uses N] [--lifetime DURATION] [--out FILE]',
    summary: 'create an enrollment token and print the command line that enrolls an agent',
    help: HELP,
    options: {
      'agent-name': { type: 'string', doc: 'only for an agent of this name' },
      'max-uses': { type: 'string', doc: 'number of machines; 1 unless set' },
      lifetime: { type: 'string', doc: 'time until it expires, such as 2h; 30m unless set' },
      ...SECRET_OUT,
      ...REASON,
    },
    words: NONE,
    async run(call) {
      const [agentName, maxUses, lifetimeSeconds] = [
        call.text('agent-name'),
        call.number('max-uses'),
        call.seconds('lifetime'),
      ];
      const body = {
        ...(agentName === undefined ? {} : { agentName }),
        ...(maxUses === undefined ? {} : { maxUses }),
        ...(lifetimeSeconds === undefined ? {} : { lifetimeSeconds }),
      };
      const place = await secretPlace(call, 'enrollment-token');
      const { token, commandLine, ...rest } = recordOf(
        await call.client.request('POST', '/enrollment-tokens', { query: termsOf(call), body }),
      );
      const before = `On the agent's machine, before ${shown(rest['expiresAt'])}:`;
      const file = await place.keep(shown(token), shown(rest['id']));
      if (file === undefined)
        return call.answer({ ...rest, token, commandLine }, () => `${before}\n\n  ${shown(commandLine)}\n`);
      const withFile = shown(commandLine).replace(`--token ${shown(token)}`, () => `--token-file ${shellWord(file)}`);
      call.answer(
        { ...rest, tokenFile: file, commandLine: withFile },
        () =>
          `The token is in ${file} (mode 0600); copy that file to the agent's machine.\n${before}\n\n  ${withFile}\n`,
      );
    },
  },
  {
    name: 'enrollment-tokens delete',
    usage: 'ID',
    summary: 'delete an enrollment token; no machine can enroll with it',
    options: { ...YES, ...REASON },
    asks: 'always',
    words: ONE,
    async run(call) {
      await call.confirm({
        act: `Delete the enrollment token ${call.words[0]}`,
        effect: 'No machine can enroll with it any more.',
      });
      await call.client.request('DELETE', `/enrollment-tokens/${encodeURIComponent(call.words[0] ?? '')}`, {
        query: termsOf(call),
      });
      call.answer({ deleted: call.words[0] }, () => `Deleted ${call.words[0]}.`);
    },
  },
];

/** The members that the words set. Errors: usage. */
function tokenChange(call: CommandCall, words: readonly string[]): Readonly<Record<string, unknown>> {
  const change: Record<string, unknown> = {};
  for (const word of words) {
    const [, name = '', value = ''] = /^(name|role|scope|lifetime)=(.*)$/s.exec(word) ?? [];
    if (name === '')
      throw call.complain(`"${word}" is not of the form name=NAME, role=ROLE, scope=SELECTOR or lifetime=DURATION`);
    const seconds = name !== 'lifetime' || value === '' ? null : secondsOf(value);
    if (seconds === undefined)
      throw call.complain(`lifetime is "${value}"; allowed is a duration such as 90d, or nothing: it does not expire`);
    if (name === 'lifetime') change['lifetimeSeconds'] = seconds;
    else if (name === 'scope') change['scope'] = value === '' ? null : value;
    else change[name] = value;
  }
  return change;
}
