// The command `events list`: a page of events, or all that come until it is interrupted.
import type { Command, CommandCall } from '../../command.ts';
import { escapeLine } from '../../../../shared/terminal/escape.ts';
import {
  scanObjectWithList,
  scanValue,
  stringAt,
  type JsonMember,
  type JsonNode,
} from '../../../../shared/wire/json-text.ts';

const FILTERS = {
  agent: { type: 'string', doc: 'only of this agent (id, name or the beginning of an id)' },
  type: { type: 'string', doc: 'only of this type' },
  source: { type: 'string', doc: 'only from this source' },
  label: {
    type: 'string',
    value: 'TERMS',
    isList: true,
    short: 'l',
    doc: 'only of agents with these labels (region=north,tier!=test); repeated: one of them',
  },
} as const;
/** Of one long poll. */
const WAIT_SECONDS = 50;
/** The largest page of Central. */
const PAGE = 1000;

export const eventCommands: readonly Command[] = [
  {
    name: 'events list',
    usage: '[--after CURSOR] [--limit N] [--follow] [filters]',
    summary: 'events that agents sent, oldest first; with --follow as they come, until Ctrl-C',
    help: 'With --follow it begins with new events, or after the cursor of --after; with --json it prints one event per line.',
    options: {
      after: { type: 'string', doc: 'only events after this cursor' },
      limit: { type: 'string', doc: 'at most this many; 100 unless set; not with --follow' },
      follow: { type: 'boolean', doc: 'keep printing new events until Ctrl-C' },
      all: { type: 'boolean', doc: 'all of them; not with --follow' },
      ...FILTERS,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      if (call.flag('follow')) return await follow(call);
      if (call.flag('all')) return await listAll(call);
      const query = { after: call.text('after'), limit: call.number('limit'), ...filterOf(call) };
      const page = pageOf(await call.client.text('/events', { query }));
      if (call.format === 'json') return call.line(jsonLine(page.text, 0, page.text.length));
      if (printed(call, page.events)) return;
      const rows = call.table(
        ['cursor', 'received', 'agent', 'type', 'id', 'data'],
        page.events.map(eventRow),
        'No events.',
      );
      call.line(`${rows}\n\nNext: --after ${page.next}`);
    },
  },
];

async function follow(call: CommandCall): Promise<void> {
  if (call.text('limit') !== undefined) throw call.complain('--limit has no effect with --follow');
  let after = call.text('after') ?? 'newest';
  while (!call.signal.aborted) {
    const query = { after, waitSeconds: WAIT_SECONDS, limit: PAGE, ...filterOf(call) };
    const answer = await call.client.text('/events', { query }).catch((error: unknown) => {
      if (call.signal.aborted) return undefined;
      throw error;
    });
    if (answer === undefined) return;
    const page = pageOf(answer);
    printEach(call, page.events);
    after = page.next;
  }
}

/** Page by page, as they come: all events may be more than fit into memory. */
async function listAll(call: CommandCall): Promise<void> {
  if (call.text('limit') !== undefined) throw call.complain('--limit has no effect with --all');
  for (let after = call.text('after') ?? 'oldest'; ;) {
    const page = pageOf(await call.client.text('/events', { query: { after, limit: PAGE, ...filterOf(call) } }));
    printEach(call, page.events);
    if (page.events.length === 0) return;
    after = page.next;
  }
}

function printEach(call: CommandCall, events: readonly JsonNode[]): void {
  if (printed(call, events)) return;
  for (const event of events) {
    if (call.json) call.line(jsonLine(event.text, event.from, event.to));
    else call.line(eventRow(event).join('  '));
  }
}

/** Prints them in a form that has one line for each, if that is what was chosen. */
function printed(call: CommandCall, events: readonly JsonNode[]): boolean {
  if (call.format !== 'ndjson' && call.format !== 'name') return false;
  for (const event of events)
    call.line(call.format === 'name' ? (eventRow(event)[4] ?? '-') : jsonLine(event.text, event.from, event.to));
  return true;
}

function filterOf(call: CommandCall): Record<string, string | readonly string[] | undefined> {
  return {
    agent: call.text('agent'),
    type: call.text('type'),
    source: call.text('source'),
    label: call.list('label'),
  };
}

/** A page of events, which stays text: numbers that JavaScript cannot hold are shown as they were sent. */
function pageOf(text: string): { readonly text: string; readonly events: readonly JsonNode[]; readonly next: string } {
  const page = scanObjectWithList(text, 'items', PAGE);
  return { text, events: page.list?.items ?? [], next: shownIn(text, memberOf(page, 'next')) };
}

function eventRow(item: JsonNode): string[] {
  const { text } = item;
  const member = memberOf(item, 'event');
  const event = member === undefined ? undefined : scanValue(text.slice(member.from, member.to));
  const own = (name: string): string => shownIn(text, memberOf(item, name));
  const ofEvent = (name: string): string => (event === undefined ? '-' : shownIn(event.text, memberOf(event, name)));
  return [own('cursor'), own('receivedAt'), own('agentId'), ofEvent('type'), ofEvent('id'), ofEvent('data')];
}

function memberOf(node: Pick<JsonNode, 'members'>, name: string): JsonMember | undefined {
  return node.members.find((member) => member.name === name);
}

function shownIn(text: string, member: JsonMember | undefined): string {
  if (member === undefined || member.kind === 'null') return '-';
  return member.kind === 'string' ? stringAt(text, member.from, member.to) : jsonLine(text, member.from, member.to);
}

/** JSON text on one line: a line feed or a tab in it can only be white space, and an escape is the same string. */
function jsonLine(text: string, from: number, to: number): string {
  return escapeLine(text.slice(from, to).replaceAll(/[\n\r\t]/g, ' '));
}
