// By which clock commands expire at an agent: Central's, whatever the clock of the host shows, over restarts and boots.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_CONSUMER as DEFAULT } from '../../../agent/store/routing.ts';
import type { AgentStore } from '../../../agent/store/store.ts';
import type { Item } from '../../../shared/delivery/message.ts';
import { idsOf, message, openAt } from './samples.ts';
import { framesOf } from '../../shared/delivery/frames.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const [MINUTE, HOUR, DAY] = [60_000, 3_600_000, 86_400_000];
const CENTRAL = 1_790_000_000_000;

describe('commands at an agent', () => {
  let folder: string;
  let store: AgentStore;
  /** The clocks of the host, and Central's. */
  let host: { wall: number; sinceBoot: number; boot: string | null; central: number };

  function open(): void {
    store = openAt(folder, {
      now: () => host.wall,
      sinceBootMs: () => host.sinceBoot,
      bootId: () => host.boot,
    });
  }

  function pass(ms: number): void {
    host.wall += ms;
    host.sinceBoot += ms;
    host.central += ms;
  }

  async function restart(): Promise<void> {
    await store.stop();
    open();
  }

  /** The host is off for a while, without a line when it is back. */
  async function boot(offMs: number, name: string | null = 'second'): Promise<void> {
    await store.stop();
    pass(offMs);
    host.sinceBoot = 20_000;
    host.boot = name;
    open();
  }

  const welcome = (): Promise<void> => store.inbox.setCentralTime(host.central);
  const ending = (id: string, inMs: number | null): Item => ({
    kind: 'message',
    message: message(id, { expiresAt: inMs === null ? null : host.central + inMs }),
  });
  const taken = async (): Promise<string[]> => idsOf(await store.inbox.take(DEFAULT, 10));
  const dead = async (): Promise<string[]> =>
    (await store.deadLetters({ limit: 10, before: null })).map(({ id }) => id).toReversed();

  beforeEach(async () => {
    host = { wall: CENTRAL, sinceBoot: 5_000, boot: 'first', central: CENTRAL };
    folder = temporaryFolder();
    open();
  });

  afterEach(async () => {
    await store.stop();
  });

  /** Connected, with a clock that is wrong by so much, and these commands on disk. */
  async function connected(aheadMs: number, ...commands: readonly Item[]): Promise<void> {
    host.wall += aheadMs;
    await welcome();
    await store.inbox.begin({ incarnation: 'A', next: 1, missing: null });
    await store.inbox.append(1, framesOf(1, commands));
  }

  it.each([HOUR, -HOUR, 365 * DAY, -20 * 365 * DAY])(
    'expire by the clock of Central, where that of the host is wrong by %i ms',
    async (aheadMs) => {
      await connected(aheadMs, ending('short', MINUTE), ending('good', 10 * MINUTE), ending('lasting', null));
      expect(await taken()).toEqual(['short', 'good', 'lasting']);
      pass(MINUTE);
      expect(await taken()).toEqual(['good', 'lasting']);
      expect(await dead()).toEqual(['short']);
    },
  );

  it('do not follow a clock of the host that is set while it runs', async () => {
    await connected(0, ending('c1', 10 * MINUTE));
    host.wall += 2 * HOUR;
    expect(await taken()).toEqual(['c1']);
    host.wall -= 10 * DAY;
    pass(10 * MINUTE);
    expect(await taken()).toEqual([]);
    expect(await store.inbox.expiredBatch()).toMatchObject({ items: [{ id: 'c1' }] });
  });

  it('expire by the time of the last welcome, also where Central had another clock before', async () => {
    await connected(0, ending('c1', 30 * MINUTE));
    host.central += 2 * HOUR;
    await welcome();
    expect(await dead()).toEqual(['c1']);
    host.central -= 4 * HOUR;
    await welcome();
    await store.inbox.append(2, framesOf(2, [ending('c2', 30 * MINUTE)]));
    expect(await taken()).toEqual(['c2']);
  });

  it('expire while there is no line, and after a restart without one, as long as the host does not boot', async () => {
    await connected(HOUR, ending('c1', 10 * MINUTE), ending('c2', 20 * MINUTE));
    await restart();
    host.wall += 5 * DAY;
    expect(await taken()).toEqual(['c1', 'c2']);
    pass(10 * MINUTE);
    expect(await taken()).toEqual(['c2']);
  });

  it('are handed out after a boot without a line as the difference of the clocks was before', async () => {
    await connected(HOUR, ending('c1', 10 * MINUTE), ending('c2', null));
    await boot(5 * MINUTE);
    expect(await taken()).toEqual(['c1', 'c2']);
  });

  it.each([null, 'second'])(
    'wait after a boot without a line, once one of them has probably expired, until Central says its time (boot %s)',
    async (name) => {
      await connected(0, ending('c0', null), ending('c1', 10 * MINUTE), ending('c2', null));
      host.wall += HOUR;
      await boot(5 * MINUTE, name);
      // Neither is it discarded, nor handed out; and the order holds.
      expect(await taken()).toEqual(['c0']);
      expect(await store.inbox.expire()).toBe(0);
      const last = store.inbox.lastCursor(DEFAULT);
      await store.inbox.deliver(DEFAULT, last);
      await store.inbox.acknowledge(DEFAULT, last);
      let isWoken = false;
      const woken = store.inbox
        .waitForCommands(DEFAULT, 60_000, new AbortController().signal)
        .then(() => (isWoken = true));
      for (let turn = 0; turn < 10; turn += 1) await nextTurn();
      expect(isWoken).toBe(false);
      await welcome();
      await woken;
      expect(await taken()).toEqual(['c1', 'c2']);
      expect(await dead()).toEqual([]);
    },
  );

  it('that have certainly expired are given up after a boot without a line', async () => {
    await connected(0, ending('c1', 10 * MINUTE), ending('c2', 2 * HOUR));
    await boot(0);
    host.wall = 0;
    pass(10 * MINUTE);
    expect(await taken()).toEqual(['c2']);
    expect(await dead()).toEqual(['c1']);
  });

  it('of an agent that never was welcomed are given up by no clock', async () => {
    await store.inbox.begin({ incarnation: 'A', next: 1, missing: null });
    await store.inbox.append(1, framesOf(1, [ending('c1', 10 * MINUTE)]));
    pass(HOUR);
    expect(await taken()).toEqual([]);
    expect(await store.inbox.expire()).toBe(0);
  });
});
