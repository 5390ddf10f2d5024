// The checker of histories is itself held to two promises: it accuses no one who kept a promise, and finds every
// breach.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { check } from './history-checker.ts';
import { BREACHES, correctHistories } from './history-samples.ts';
import { History, messageName, storyOf, type Deed } from './history.ts';

const offered = (message: string): Deed => ({ deed: 'offered', log: 'up a', producer: 'p', message });
const accepted = (message: string, number: number | null, outcome: 'stored' | 'duplicate' = 'stored'): Deed => ({
  deed: 'accepted',
  log: 'up a',
  producer: 'p',
  message,
  outcome,
  number,
});
const received = (message: string, cursor: number, number: number | null = null): Deed => ({
  deed: 'received',
  consumer: 'c',
  log: 'up a',
  message,
  cursor,
  number,
});
const follows: Deed = { deed: 'follows', consumer: 'c', log: 'up a' };

describe('a correct history', () => {
  it('never alarms, whatever answers get lost and whichever process is killed', () => {
    fc.assert(
      fc.property(correctHistories, (history) => {
        expect(check(history)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('may hold an offer without an answer, delivered or not', () => {
    expect(check([follows, offered('m1'), offered('m2'), received('m1', 1, 1)])).toEqual([]);
  });

  it('may give the same cursor again until it was settled', () => {
    expect(
      check([
        follows,
        offered('m1'),
        accepted('m1', 1),
        received('m1', 4, 1),
        received('m1', 4, 1),
        { deed: 'settled', consumer: 'c', through: 4 },
      ]),
    ).toEqual([]);
  });
});

describe('a breach is found and named', () => {
  it.each(BREACHES)('$kind: $name', ({ kind, commit }) => {
    fc.assert(
      fc.property(correctHistories, fc.nat(), (history, place) => {
        const { deeds, accused } = commit(history, place);
        expect(check(deeds)).toContainEqual(expect.objectContaining({ kind, message: accused }));
      }),
      { numRuns: 300 },
    );
  });

  it('each by its own name and no other, in a plain history', () => {
    const plain = [follows, offered('m1'), accepted('m1', 1), offered('m2'), accepted('m2', 2)];
    const kinds = (...deeds: Deed[]): string[] => check([...plain, ...deeds]).map(({ kind }) => kind);
    expect(kinds(received('m1', 1, 1))).toEqual(['loss']);
    expect(kinds(received('m1', 1, 1), received('m2', 2, 2), received('m1', 3))).toEqual(['duplicate']);
    expect(kinds(received('m2', 1), received('m1', 2))).toEqual(['disorder', 'disorder']);
    expect(kinds(received('m1', 1, 1), received('m2', 2, 2), accepted('m2', 3))).toEqual(['early-ack']);
    expect(kinds(received('m1', 1, 1), received('m2', 2, 2), received('m3', 3))).toEqual(['stranger']);
  });
});

describe('a story', () => {
  it('tells all of one message and the kills in between', () => {
    const history = new History();
    for (const deed of [
      offered('m1'),
      { deed: 'killed', process: 'central' } as const,
      offered('m2'),
      offered('m1'),
      accepted('m1', 1),
      { deed: 'killed', process: 'agent' } as const,
    ])
      history.write(deed);
    expect(storyOf(history.deeds, 'm1').split('\n')).toEqual([
      expect.stringContaining('0 {"deed":"offered"'),
      expect.stringContaining('1 {"deed":"killed","process":"central"}'),
      expect.stringContaining('3 {"deed":"offered"'),
      expect.stringContaining('4 {"deed":"accepted"'),
    ]);
  });

  it('takes source and id for one name only together', () => {
    expect(messageName('/a', 'b c')).not.toBe(messageName('/a b', 'c'));
  });
});
