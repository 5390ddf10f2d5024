// The commands on events: list, and follow until it is interrupted.
import type { Command, CommandCall } from './command.ts';
import { recordOf, rowsOf, shown, table } from './print.ts';

const FILTERS = {
  agent: { type: 'string', doc: 'only of this agent (id, name or the beginning of an id)' },
  type: { type: 'string', doc: 'only of this type' },
  source: { type: 'string', doc: 'only from this source' },
} as const;
/** Of one long poll. */
const WAIT_SECONDS = 50;

export const eventCommands: readonly Command[] = [
  {
    name: 'events list',
    usage: '[--after CURSOR] [--limit N] [filters]',
    summary: 'events that agents sent, oldest first',
    options: { after: { type: 'string', doc: 'only behind this cursor' }, limit: { type: 'string', doc: 'at most so many; 100 unless set' }, ...FILTERS },
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await call.client.request('GET', '/events', { query: { after: call.text('after'), limit: call.number('limit'), ...filterOf(call) } });
      call.answer(answer, () => table(['cursor', 'received', 'agent', 'type', 'id', 'data'], rowsOf(answer, 'events').map(eventRow), 'No events.') + `\n\nNext: --after ${shown(recordOf(answer)['next'])}`);
    },
  },
  {
    name: 'events follow',
    usage: '[--after CURSOR] [filters]',
    summary: 'events as they come, until Ctrl-C',
    help: 'Begins with what comes from now on, or behind --after. With --json one event a line.',
    options: { after: { type: 'string', doc: 'begin behind this cursor' }, ...FILTERS },
    words: { least: 0, most: 0 },
    async run(call) {
      let after = call.text('after') ?? 'newest';
      while (!call.signal.aborted) {
        const page = await call.client.request('GET', '/events', { query: { after, waitSeconds: WAIT_SECONDS, limit: 1000, ...filterOf(call) } }).catch((error: unknown) => {
          if (call.signal.aborted) return undefined;
          throw error;
        });
        for (const event of rowsOf(page, 'events')) call.line(call.json ? JSON.stringify(event) : table(['', '', '', '', '', ''], [eventRow(event)], '').trim());
        after = shown(recordOf(page)['next'] ?? after);
      }
    },
  },
];

function filterOf(call: CommandCall): Record<string, string | undefined> {
  return { agent: call.text('agent'), type: call.text('type'), source: call.text('source') };
}

function eventRow(row: Readonly<Record<string, unknown>>): unknown[] {
  const event = recordOf(row['event']);
  return [row['cursor'], row['receivedAt'], row['agent'], event['type'], event['id'], event['data']];
}
