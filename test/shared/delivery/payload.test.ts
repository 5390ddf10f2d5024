// Random JSON on its whole way, in one process: a producer's text through the agent's store, the wire with its
// checksum, the receiver, and Central's store, and back down. What comes out is compared as text, never as a value.
import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AgentStore } from '../../../agent/store/store.ts';
import { openSqliteStore } from '../../../central/store/sqlite/sqlite-store.ts';
import type { Store } from '../../../central/store/store.ts';
import { readProduced, type Message } from '../../../shared/delivery/message.ts';
import type { InboxPort, OutboxEntry } from '../../../shared/delivery/log-interfaces.ts';
import { Receiver } from '../../../shared/delivery/receiver.ts';
import { hasChecksum, requireChecksum, withChecksum } from '../../../shared/wire/checksum.ts';
import { encodeMessages } from '../../../shared/wire/codec.ts';
import { scanBatch } from '../../../shared/wire/json-text.ts';
import { LIMITS } from '../../../shared/wire/messages.ts';
import { openAt } from '../../agent/store/samples.ts';
import { DAY, NOW, online, ROOM } from '../../central/store/samples.ts';
import { jsonText } from '../wire/json-arbitraries.ts';
import { framesOf } from './frames.ts';

const AGENT = 'a1';
const DEFAULTS = { source: '/agents/a1', now: new Date(NOW) };

let folders: string[];
let central: Store;
let agent: AgentStore;
let epoch: number;

beforeEach(async () => {
  folders = ['central-', 'agent-'].map((name) => mkdtempSync(join(tmpdir(), name)));
  central = await openSqliteStore({ folder: folders[0] ?? '', deduplicationMs: 7 * DAY, onFailure: unexpected });
  agent = openAt(folders[1] ?? '', {
    outbox: { maxMessages: 100_000, maxBytes: 2 ** 30 },
    inbox: { maxMessages: 100_000, maxBytes: 2 ** 30 },
  });
  epoch = await online(central, AGENT);
});

afterEach(async () => {
  await Promise.all([central.stop(), agent.stop()]);
  for (const folder of folders) rmSync(folder, { recursive: true });
});

function unexpected(error: unknown): void {
  throw error;
}

/** As a producer posts it: the whole batch as one body. */
function produced(texts: readonly string[]): Message[] {
  return scanBatch(`[${texts.join(' ,')}]`, 1_000).items.map((node) => {
    const message = readProduced(node, DEFAULTS, LIMITS.maxMessageBytes);
    if ('pointer' in message) throw new Error(`${message.pointer} ${message.found}`);
    return message;
  });
}

/** One frame over a plain line, and its acknowledgement. */
async function carried(entries: readonly OutboxEntry[], inbox: Pick<InboxPort, 'append'>): Promise<void> {
  const first = entries[0]?.number ?? 1;
  const bytes = Buffer.from(
    withChecksum(
      encodeMessages(
        first,
        entries.map(({ json }) => json),
      ),
    ),
  );
  requireChecksum('messages', hasChecksum(bytes));
  await new Promise<void>((resolve, reject) => {
    const receiver = new Receiver({
      inbox: { begin: async () => undefined, append: (from, frames) => inbox.append(from, frames) },
      frames: { send: () => resolve() },
      limits: LIMITS,
      onFailure: reject,
    });
    receiver.begin({ type: 'begin', incarnation: 'i', next: first, missing: null });
    receiver.messages(bytes);
  });
}

let next = 0;
/** An event with everything that the producer may say, in an order and with white space of its own. */
const eventText = fc
  .record({
    data: jsonText,
    space: fc.constantFrom('', ' ', '\n\t'),
    extension: fc.constantFrom('', String.raw`"n":-0,"note":"\u00e9\/"`, '"flag":true'),
    order: fc.boolean(),
  })
  .map(({ data, space, extension, order }) => {
    next += 1;
    const members = [
      '"specversion":"1.0"',
      `"id"${space}:"${next}"`,
      '"source":"/s"',
      '"time":"2026-11-22T10:00:00Z"',
      '"type":"t"',
      `"data":${space}${data}`,
      ...(extension === '' ? [] : [extension]),
    ];
    return `{${space}${(order ? members.toReversed() : members).join(`,${space}`)}${space}}`;
  });
const batches = fc.array(eventText, { minLength: 1, maxLength: 8 });

describe('the text of a message', () => {
  it('comes out of Central as it went in at the agent', async () => {
    let after = 0;
    await fc.assert(
      fc.asyncProperty(batches, async (texts) => {
        await agent.outbox.append(produced(texts));
        const entries = await agent.outbox.read(after, 1_000, 10_000_000);
        await carried(entries, {
          append: (first, frames) => central.inbox.append(AGENT, epoch, first, frames, NOW),
        });
        const events = await central.inbox.read(after, {}, 1_000);
        expect(events.map(({ json }) => json)).toEqual(texts);
        after += texts.length;
      }),
      { numRuns: 60 },
    );
  });

  it('comes out of the agent as it went in at Central', async () => {
    await agent.inbox.begin({ incarnation: 'i', next: 1, missing: null });
    let after = 0;
    await fc.assert(
      fc.asyncProperty(batches, async (texts) => {
        await central.outbox.append(AGENT, produced(texts), ROOM, NOW);
        await carried(await central.outbox.read(AGENT, after, 1_000, 10_000_000), agent.inbox);
        const commands = await agent.inbox.take('default', 1_000);
        expect(commands.map(({ json }) => json)).toEqual(texts);
        await agent.inbox.deliver('default', commands.at(-1)?.cursor ?? 0);
        await agent.inbox.acknowledge('default', commands.at(-1)?.cursor ?? 0);
        after += texts.length;
      }),
      { numRuns: 60 },
    );
  });
});

describe('a (source, id) that comes with other data', () => {
  const one = '{"specversion":"1.0","id":"1","source":"/s","time":"2026-11-22T10:00:00Z","type":"t","data":1}';
  const other = one.replace('"data":1', '"data":2');

  it('is refused at both producers, and what came with it is not stored', async () => {
    const fresh = one.replace('"id":"1"', '"id":"2"');
    await agent.outbox.append(produced([one]));
    await expect(agent.outbox.append(produced([fresh, other]))).rejects.toMatchObject({
      code: 'id_reused',
      status: 409,
      parameters: { indexes: '1' },
    });
    expect(await agent.outbox.append(produced([one, fresh]))).toMatchObject([
      { outcome: 'duplicate' },
      { outcome: 'stored', number: 2 },
    ]);
    await central.outbox.append(AGENT, produced([one]), ROOM, NOW);
    await expect(central.outbox.append(AGENT, produced([fresh, other]), ROOM, NOW)).rejects.toMatchObject({
      code: 'id_reused',
      status: 409,
    });
    expect(await central.outbox.append(AGENT, produced([one, fresh]), ROOM, NOW)).toMatchObject([
      { outcome: 'duplicate' },
      { outcome: 'stored', number: 2 },
    ]);
  });

  it('becomes a dead letter with its text where a peer sends it, while a repeat is passed over', async () => {
    const items = produced([one, one, other]).map((message) => ({ kind: 'message', message }) as const);
    expect(await central.inbox.append(AGENT, epoch, 1, framesOf(1, items), NOW)).toBe(3);
    expect((await central.inbox.read(0, {}, 10)).map(({ json }) => json)).toEqual([one]);
    expect((await central.inbox.deadLetters({ limit: 10 })).items).toMatchObject([
      { direction: 'up', number: 3, id: '1', reason: 'id_reused', json: other },
    ]);
    await agent.inbox.begin({ incarnation: 'i', next: 1, missing: null });
    expect(await agent.inbox.append(1, framesOf(1, items))).toBe(3);
    expect((await agent.inbox.take('default', 10)).map(({ json }) => json)).toEqual([one]);
    expect(await agent.deadLetters({ limit: 10, before: null })).toMatchObject([
      { direction: 'down', number: 3, id: '1', reason: 'id_reused', json: other },
    ]);
  });
});
