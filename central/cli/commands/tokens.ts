// The commands on tokens: API tokens for people and programs, enrollment tokens for machines.
import { isCoded } from '../../../shared/errors.ts';
import type { Command } from '../command.ts';
import { shellWord } from '../../../shared/terminal/escape.ts';
import { recordOf, rowsOf, shown, table } from '../print.ts';
import { SECRET_OUT, secretPlace } from '../secret-answer.ts';

const HELP =
  'The secret is shown on a terminal only. Otherwise, and with --out, it is in a new file with mode 0600, also with --json: the answer\nnames the file. Without --out that file is in $XDG_STATE_HOME/queuegate, or ~/.local/state/queuegate.';

export const tokenCommands: readonly Command[] = [
  {
    name: 'tokens list',
    usage: '',
    summary: 'API tokens and enrollment tokens',
    options: {},
    words: { least: 0, most: 0 },
    async run(call) {
      const api = rowsOf(await call.client.request('GET', '/tokens'), 'tokens');
      const enrollment = rowsOf(await call.client.request('GET', '/enrollment-tokens'), 'enrollmentTokens');
      call.answer({ tokens: api, enrollmentTokens: enrollment }, () =>
        [
          'API tokens:',
          table(
            ['id', 'name', 'role', 'created', 'by', 'expires'],
            api.map((row) => [
              row['id'],
              row['name'],
              row['role'],
              row['createdAt'],
              row['createdBy'],
              row['expiresAt'] ?? 'never',
            ]),
            'None.',
          ),
          '',
          'Enrollment tokens:',
          table(
            ['id', 'used', 'agent', 'created', 'by', 'expires'],
            enrollment.map((row) => [
              row['id'],
              `${shown(row['uses'])} of ${shown(row['maxUses'])}`,
              row['agentName'] ?? 'any',
              row['createdAt'],
              row['createdBy'],
              row['expiresAt'],
            ]),
            'None.',
          ),
        ].join('\n'),
      );
    },
  },
  {
    name: 'tokens create',
    usage: '--name NAME --role viewer|operator|administrator [--days N] [--out FILE]',
    summary: 'make an API token; it is shown once, on a terminal, or written to a file',
    help: HELP,
    options: {
      name: { type: 'string', doc: 'for whom or what' },
      role: { type: 'string', doc: 'viewer reads, operator sends messages, administrator does the rest' },
      days: { type: 'string', doc: 'days until it expires; default: never' },
      ...SECRET_OUT,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const [name, role, days] = [call.text('name'), call.text('role'), call.number('days')];
      if (name === undefined || role === undefined) throw call.complain('--name and --role are needed');
      const place = await secretPlace(call, 'api-token');
      const { token, ...rest } = recordOf(
        await call.client.request('POST', '/tokens', { body: { name, role, ...(days === undefined ? {} : { days }) } }),
      );
      const file = await place.keep(shown(token), shown(rest['id']));
      if (file === undefined)
        return call.answer({ ...rest, token }, () => `${shown(token)}\n\nShown this once. It has the role ${role}.`);
      call.answer(
        { ...rest, tokenFile: file },
        () =>
          `The token is in ${file} (mode 0600). It has the role ${role}.\nUse it with --token-file ${shellWord(file)}`,
      );
    },
  },
  {
    name: 'tokens create-enrollment',
    usage: '[--agent-name NAME] [--uses N] [--minutes N] [--out FILE]',
    summary: 'make an enrollment token and print the line that enrolls an agent',
    help: HELP,
    options: {
      'agent-name': { type: 'string', doc: 'only for an agent of this name' },
      uses: { type: 'string', doc: 'number of machines; default 1' },
      minutes: { type: 'string', doc: 'minutes until it expires; default 30' },
      ...SECRET_OUT,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const [agentName, uses, minutes] = [call.text('agent-name'), call.number('uses'), call.number('minutes')];
      const body = {
        ...(agentName === undefined ? {} : { agentName }),
        ...(uses === undefined ? {} : { uses }),
        ...(minutes === undefined ? {} : { minutes }),
      };
      const place = await secretPlace(call, 'enrollment-token');
      const { token, line, ...rest } = recordOf(await call.client.request('POST', '/enrollment-tokens', { body }));
      const before = `On the agent's machine, before ${shown(rest['expiresAt'])}:`;
      const file = await place.keep(shown(token), shown(rest['id']));
      if (file === undefined) return call.answer({ ...rest, token, line }, () => `${before}\n\n  ${shown(line)}\n`);
      const withFile = shown(line).replace(`--token ${shown(token)}`, () => `--token-file ${shellWord(file)}`);
      call.answer(
        { ...rest, tokenFile: file, line: withFile },
        () =>
          `The token is in ${file} (mode 0600); copy that file to the agent's machine.\n${before}\n\n  ${withFile}\n`,
      );
    },
  },
  {
    name: 'tokens remove',
    usage: 'ID',
    summary: 'remove a token of either kind',
    options: {},
    words: { least: 1, most: 1 },
    async run(call) {
      const id = encodeURIComponent(call.words[0] ?? '');
      try {
        await call.client.request('DELETE', `/tokens/${id}`);
      } catch (error) {
        if (!isCoded(error, 'token_unknown')) throw error;
        await call.client.request('DELETE', `/enrollment-tokens/${id}`);
      }
      call.answer({ removed: call.words[0] }, () => `Removed ${call.words[0]}.`);
    },
  },
];
