// What is kept of commands is bounded, of each agent and of all, and goes with the session.
import { describe, expect, it } from 'vitest';
import {
  MAX_BYTES,
  MAX_BYTES_OF_AGENT,
  MAX_COMMANDS,
  RecentCommands,
} from '../../../../central/store/memory/recent-commands.ts';
import type { Message } from '../../../../shared/delivery/message.ts';
import { message } from '../samples.ts';

/** The session of an agent that has nothing yet. */
async function opened(recent: RecentCommands, agentId: string, during = (): void => undefined): Promise<void> {
  const claimed = { epoch: 1, newest: 0, down: { incarnation: 'i', next: 1, missing: null } };
  await recent.claim(
    agentId,
    async () => during(),
    () => claimed,
  );
}

function append(recent: RecentCommands, agentId: string, first: number, messages: readonly Message[]): void {
  recent.appended(
    agentId,
    messages,
    messages.map((_, i) => ({ outcome: 'stored', number: first + i })),
  );
}

const read = (recent: RecentCommands, agentId: string, after: number): number[] | undefined =>
  recent.read(agentId, after, 1_000, 100_000_000)?.map(({ number }) => number);

describe('recent commands', () => {
  it('are the last ones of each agent with a session', async () => {
    const recent = new RecentCommands();
    await opened(recent, 'a');
    append(recent, 'a', 1, [message('c1')]);
    append(recent, 'b', 1, [message('c1')]);
    expect(read(recent, 'a', 0)).toEqual([1]);
    expect(read(recent, 'b', 0)).toBeUndefined();
    append(
      recent,
      'a',
      2,
      Array.from({ length: MAX_COMMANDS + 5 }, (_, i) => message(`m${i}`)),
    );
    expect(read(recent, 'a', 5)).toBeUndefined();
    expect(read(recent, 'a', 6)).toHaveLength(MAX_COMMANDS);
    recent.close('a', 0);
    expect(read(recent, 'a', 6)).toHaveLength(MAX_COMMANDS);
    recent.close('a', 1);
    expect(read(recent, 'a', 6)).toBeUndefined();
  });

  it('are known to be none from the claim on, unless an append was answered meanwhile, or some wait', async () => {
    const recent = new RecentCommands();
    await opened(recent, 'a');
    expect(read(recent, 'a', 0)).toEqual([]);
    await opened(recent, 'a', () => append(recent, 'a', 1, [message('c1')]));
    expect(read(recent, 'a', 0)).toBeUndefined();
    const waiting = { epoch: 2, newest: 1, down: { incarnation: 'i', next: 1, missing: null } };
    await recent.claim(
      'a',
      async () => undefined,
      () => waiting,
    );
    expect(read(recent, 'a', 0)).toBeUndefined();
  });

  it('stay those of the session as long as no claim succeeds', async () => {
    const recent = new RecentCommands();
    await opened(recent, 'a');
    append(recent, 'a', 1, [message('c1')]);
    const none = (): undefined => undefined;
    await recent.claim('a', async () => none(), none);
    await expect(recent.claim('a', async () => Promise.reject(new Error('disk full')), none)).rejects.toThrow('disk');
    expect(read(recent, 'a', 0)).toEqual([1]);
  });

  it('go when the agent has them, and when a number is missing', async () => {
    const recent = new RecentCommands();
    await opened(recent, 'a');
    append(recent, 'a', 1, [message('c1'), message('c2')]);
    recent.acknowledged('a', 1);
    expect(read(recent, 'a', 0)).toBeUndefined();
    expect(read(recent, 'a', 1)).toEqual([2]);
    append(recent, 'a', 4, [message('c4')]);
    expect(read(recent, 'a', 1)).toBeUndefined();
  });

  it('are as many as fit into the bytes, of one agent and of all', async () => {
    const recent = new RecentCommands();
    const json = 'x'.repeat(MAX_BYTES_OF_AGENT / 2);
    const full = MAX_BYTES / MAX_BYTES_OF_AGENT;
    for (let n = 0; n <= full; n += 1) {
      await opened(recent, `a${n}`);
      append(
        recent,
        `a${n}`,
        1,
        ['c1', 'c2', 'c3'].map((id) => message(id, { json })),
      );
    }
    expect(read(recent, 'a1', 0)).toBeUndefined();
    expect(read(recent, 'a1', 1)).toEqual([2, 3]);
    // The longest unchanged one gave way.
    expect(read(recent, 'a0', 3)).toBeUndefined();
  });
});
