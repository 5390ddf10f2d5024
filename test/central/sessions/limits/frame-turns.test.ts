import { describe, expect, it } from 'vitest';
import { FrameTurns, type FrameSource } from '../../../../central/sessions/limits/frame-turns.ts';

const MIB = 1024 * 1024;

function setUp() {
  const deferred: (() => void)[] = [];
  const turns = new FrameTurns((run) => void deferred.push(run));
  const parsed: string[] = [];
  return {
    turns,
    parsed,
    source: (name: string, sizes: number[]): FrameSource => ({
      parseNext: () => {
        const bytes = sizes.shift() ?? 0;
        parsed.push(name);
        return { bytes, more: sizes.length > 0 };
      },
    }),
    /** One turn of the event loop; what was parsed in it. */
    turn: (): string[] => {
      const from = parsed.length;
      deferred.shift()?.();
      return parsed.slice(from);
    },
    waits: () => deferred.length > 0,
  };
}

describe('FrameTurns', () => {
  it('parses so many bytes per turn of the event loop, and at least one frame', () => {
    const { turns, source, turn, waits } = setUp();
    for (const name of ['a', 'b', 'c', 'd']) turns.add(source(name, [MIB / 2]));
    expect([turn(), turn(), waits()]).toEqual([['a', 'b'], ['c', 'd'], false]);
    turns.add(source('large', [16 * MIB]));
    turns.add(source('next', [1]));
    expect([turn(), turn()]).toEqual([['large'], ['next']]);
  });

  it('takes one frame of a session and goes on to the next session', () => {
    const { turns, source, turn } = setUp();
    turns.add(source('many', [MIB, MIB, MIB]));
    turns.add(source('one', [MIB]));
    expect([turn(), turn(), turn(), turn()]).toEqual([['many'], ['one'], ['many'], ['many']]);
  });

  it('forgets a session that is over', () => {
    const { turns, source, turn, waits } = setUp();
    const gone = source('gone', [1]);
    turns.add(gone);
    turns.remove(gone);
    expect([turn(), waits()]).toEqual([[], false]);
  });
});
