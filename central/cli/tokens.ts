// The commands on tokens: API tokens for people and programs, enrolment tokens for machines.
import { isCoded } from '../../shared/errors.ts';
import type { Command } from './command.ts';
import { recordOf, rowsOf, shown, table } from './print.ts';

export const tokenCommands: readonly Command[] = [
  {
    name: 'tokens list',
    usage: '',
    summary: 'API tokens and enrolment tokens',
    options: {},
    words: { least: 0, most: 0 },
    async run(call) {
      const api = rowsOf(await call.client.request('GET', '/tokens'), 'tokens');
      const enrolment = rowsOf(await call.client.request('GET', '/enrolment-tokens'), 'enrolmentTokens');
      call.answer({ tokens: api, enrolmentTokens: enrolment }, () =>
        [
          'API tokens:',
          table(['id', 'name', 'role', 'created', 'by', 'expires'], api.map((row) => [row['id'], row['name'], row['role'], row['createdAt'], row['createdBy'], row['expiresAt'] ?? 'never']), 'None.'),
          '',
          'Enrolment tokens:',
          table(['id', 'used', 'agent', 'created', 'by', 'expires'], enrolment.map((row) => [row['id'], `${shown(row['uses'])} of ${shown(row['maxUses'])}`, row['agentName'] ?? 'any', row['createdAt'], row['createdBy'], row['expiresAt']]), 'None.'),
        ].join('\n'),
      );
    },
  },
  {
    name: 'tokens create',
    usage: '--name NAME --role viewer|operator|administrator [--days N]',
    summary: 'make an API token; it is shown once',
    options: { name: { type: 'string', doc: 'for whom or what' }, role: { type: 'string', doc: 'viewer reads, operator sends messages, administrator does the rest' }, days: { type: 'string', doc: 'how long it is good; for ever unless set' } },
    words: { least: 0, most: 0 },
    async run(call) {
      const [name, role, days] = [call.text('name'), call.text('role'), call.number('days')];
      if (name === undefined || role === undefined) throw call.complain('--name and --role are needed');
      const answer = await call.client.request('POST', '/tokens', { body: { name, role, ...(days === undefined ? {} : { days }) } });
      call.answer(answer, () => `${shown(recordOf(answer)['token'])}\n\nShown this once. It has the role ${role}.`);
    },
  },
  {
    name: 'tokens create-enrolment',
    usage: '[--agent-name NAME] [--uses N] [--minutes N]',
    summary: 'make an enrolment token and print the line that enrols an agent',
    options: { 'agent-name': { type: 'string', doc: 'good for an agent of this name only' }, uses: { type: 'string', doc: 'for how many machines; 1 unless set' }, minutes: { type: 'string', doc: 'how long it is good; 30 unless set' } },
    words: { least: 0, most: 0 },
    async run(call) {
      const [agentName, uses, minutes] = [call.text('agent-name'), call.number('uses'), call.number('minutes')];
      const body = { ...(agentName === undefined ? {} : { agentName }), ...(uses === undefined ? {} : { uses }), ...(minutes === undefined ? {} : { minutes }) };
      const answer = recordOf(await call.client.request('POST', '/enrolment-tokens', { body }));
      call.answer(answer, () => `On the agent's machine, before ${shown(answer['expiresAt'])}:\n\n  ${shown(answer['line'])}\n`);
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
        await call.client.request('DELETE', `/enrolment-tokens/${id}`);
      }
      call.answer({ removed: call.words[0] }, () => `Removed ${call.words[0]}.`);
    },
  },
];
