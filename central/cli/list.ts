// What every list has: --limit, --all and --after, and a line on the standard error when there is more.
import type { CommandCall, CommandOption } from './command.ts';
import { recordOf, rowsOf } from './print.ts';
import { WATCH } from './watching/watch.ts';

/** The largest page of Central. */
const PAGE = 1000;
const DEFAULT_LIMIT = 100;

export const LIST = {
  limit: { type: 'string', value: 'N', doc: 'at most this many; 100 unless set' },
  all: { type: 'boolean', doc: 'all of them' },
  after: { type: 'string', value: 'CURSOR', doc: 'only items after this cursor' },
  ...WATCH,
} as const satisfies Readonly<Record<string, CommandOption>>;

type Query = Readonly<Record<string, string | number | readonly string[] | undefined>>;

/** The list as one answer, of as many pages as it takes. Errors: usage and those of the requests. */
export async function readList(
  call: CommandCall,
  path: string,
  query: Query = {},
): Promise<Readonly<Record<string, unknown>>> {
  if (call.flag('all') && call.text('limit') !== undefined) throw call.complain('--limit has no effect with --all');
  let left = call.flag('all') ? Number.POSITIVE_INFINITY : (call.number('limit') ?? DEFAULT_LIMIT);
  let after: unknown = call.text('after');
  let answer: Readonly<Record<string, unknown>> = {};
  const items: unknown[] = [];
  do {
    const cursor = typeof after === 'string' ? after : undefined;
    answer = recordOf(
      await call.client.request('GET', path, { query: { ...query, limit: Math.min(left, PAGE), after: cursor } }),
    );
    const page = rowsOf(answer, 'items');
    items.push(...page);
    left -= page.length;
    after = answer['next'] ?? null;
  } while (after !== null && left > 0);
  if (typeof after === 'string') call.notice(`There is more: --after ${after} shows what follows, --all everything.`);
  return { ...answer, items, next: after };
}
