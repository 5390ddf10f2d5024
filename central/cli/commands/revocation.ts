// The command that revokes an agent.
import { findAgent, idIn } from './agents.ts';
import type { Command } from '../command.ts';
import { shown } from '../print.ts';

const REASONS = 'keyCompromise, affiliationChanged, cessationOfOperation, privilegeWithdrawn';

export const revocationCommands: readonly Command[] = [
  {
    name: 'agents revoke',
    usage: 'AGENT [--reason REASON] [--comment TEXT] [--ticket TEXT]',
    summary: 'let an agent in no more: its session ends at once, its certificates are revoked',
    help: 'The agent stays in the registry. It comes back with a new key ("queuegate agents rescue"), or is removed.',
    options: {
      reason: { type: 'string', doc: `${REASONS}; unspecified unless set` },
      comment: { type: 'string', doc: 'why, for the audit log' },
      ticket: { type: 'string', doc: 'ticket, for the audit log' },
    },
    words: { least: 1, most: 1 },
    async run(call) {
      const agent = await findAgent(call.client, call.words[0] ?? '');
      const terms = Object.fromEntries(
        ['reason', 'comment', 'ticket'].flatMap((name) =>
          call.text(name) === undefined ? [] : [[name, call.text(name)]],
        ),
      );
      const answer = await call.client.request('POST', `/agents/${idIn(agent)}/revoke`, { body: terms });
      call.answer(answer, () => `Revoked ${shown(agent['name'])}: its session is over, and it is refused from now on.`);
    },
  },
];
