// The commands on pending changes: list, show, confirm, rollback.
import { cliFault } from '../errors.ts';
import type { Command, CommandCall } from '../command.ts';
import { LIST, readList } from '../list.ts';
import { facts, recordOf, rowsOf, shown } from '../print.ts';
import { confirmForce, FORCE, REASON, termsOf, YES } from '../terms.ts';
import { changeAtEnd, WAIT, waitSeconds } from '../watching/wait.ts';
import { WATCH } from '../watching/watch.ts';

const AT_MOST_ONE = { least: 0, most: 1 } as const;

export const changeCommands: readonly Command[] = [
  {
    name: 'changes list',
    watches: 'changes',
    usage: '[--state pending|confirmed|rolled-back]',
    summary: 'changes that await their confirmation, and those that ended since Central started',
    options: { state: { type: 'string', doc: 'only in this state' }, ...LIST },
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await readList(call, '/changes', { state: call.text('state') });
      call.answer(answer, () =>
        call.table(
          ['id', 'subject', 'state', 'by', 'expires', 'agents back'],
          rowsOf(answer, 'items').map((row) => [
            row['id'],
            row['subject'],
            row['state'],
            row['changedBy'],
            row['expiresAt'],
            returnedText(row),
          ]),
          'No changes.',
        ),
      );
    },
  },
  {
    name: 'changes show',
    usage: '[CHANGE] [--wait]',
    summary: 'one change; with --wait when it is confirmed or rolled back',
    options: { ...WAIT, ...WATCH },
    words: AT_MOST_ONE,
    async run(call) {
      const [change, seconds] = [await changeOf(call), waitSeconds(call)];
      const row =
        seconds === undefined
          ? recordOf(await call.current(`/changes/${change}`))
          : await changeAtEnd(call, seconds, decodeURIComponent(change));
      call.answer(row, () =>
        facts([
          ['id', row['id']],
          ['subject', row['subject']],
          ['state', row['state']],
          ...rowsOf(row, 'changed').map(
            ({ name, from, to }) => [shown(name), `${shown(from)} -> ${shown(to)}`] as const,
          ),
          ['changed by', row['changedBy']],
          ['comment', row['comment']],
          ['ticket', row['ticket']],
          ['expires', row['expiresAt']],
          ['agents back', returnedText(row)],
        ]),
      );
    },
  },
  {
    name: 'changes confirm',
    usage: '[CHANGE] [--force]',
    summary: 'keep a pending change',
    help: 'CHANGE may be left out while only one change is pending. A change of the administration must be confirmed over a new connection.',
    options: {
      force: { ...FORCE.force, doc: 'confirm even if fewer agents have reconnected than the change requires' },
      ...YES,
      ...REASON,
    },
    asks: 'forced',
    words: AT_MOST_ONE,
    async run(call) {
      const change = await changeOf(call);
      await confirmForce(
        call,
        `Confirm the change ${decodeURIComponent(change)}`,
        'Agents that have not come back stay cut off.',
      );
      const answer = await call.client.request('POST', `/changes/${change}/confirm`, {
        query: termsOf(call),
      });
      call.answer(answer, () => `Confirmed: ${shown(recordOf(answer)['subject'])}.`);
    },
  },
  {
    name: 'changes rollback',
    usage: '[CHANGE]',
    summary: 'roll a pending change back now',
    help: 'CHANGE may be left out while only one change is pending.',
    options: REASON,
    words: AT_MOST_ONE,
    async run(call) {
      const answer = await call.client.request('POST', `/changes/${await changeOf(call)}/rollback`, {
        query: termsOf(call),
      });
      call.answer(answer, () => `Rolled back: ${shown(recordOf(answer)['subject'])}.`);
    },
  },
];

/** The change that was named, or the only one that is pending; encoded. Errors: change_missing, change_ambiguous. */
async function changeOf(call: CommandCall): Promise<string> {
  const [named] = call.words;
  if (named !== undefined) return encodeURIComponent(named);
  const [first, ...more] = rowsOf(
    await call.client.request('GET', '/changes', { query: { state: 'pending' } }),
    'items',
  );
  if (first === undefined) throw cliFault('change_missing', {});
  if (more.length > 0)
    throw cliFault('change_ambiguous', {
      count: more.length + 1,
      ids: [first, ...more].map((row) => shown(row['id'])).join(', '),
    });
  return encodeURIComponent(shown(first['id']));
}

function returnedText(row: Readonly<Record<string, unknown>>): string {
  return `${shown(row['returnedCount'])} of ${shown(row['agentCount'])}; required: ${Math.round(Number(row['requiredShare']) * 100)} %`;
}
