import { describe, expect, it } from 'vitest';
import { CloneWatch } from '../../../../central/sessions/clones/clone-watch.ts';
import { CLONE_TURNS } from '../../../../central/store/agents/boot-history.ts';

describe('CloneWatch', () => {
  it('finds two boots that alternate more than five times a minute', () => {
    const watch = new CloneWatch();
    let found = false;
    let hellos = 0;
    for (let i = 0; !found && i < 100; i += 1) {
      found = watch.sawBoot('a', i % 2 === 0 ? 'one' : 'two', i * 1000);
      hellos += 1;
    }
    expect(found).toBe(true);
    // The first hello of each boot does not count as a turn.
    expect(hellos).toBe(CLONE_TURNS + 1 + 2);
  });

  it('never takes one boot on a flapping line for a clone', () => {
    const watch = new CloneWatch();
    expect(Array.from({ length: 1000 }, (_, i) => watch.sawBoot('a', 'one', i * 10)).includes(true)).toBe(false);
  });

  it('never takes a daemon that restarts again and again for a clone', () => {
    const watch = new CloneWatch();
    expect(Array.from({ length: 1000 }, (_, i) => watch.sawBoot('a', `boot ${i}`, i * 10)).includes(true)).toBe(false);
  });

  it('forgets turns that are older than a minute', () => {
    const watch = new CloneWatch();
    expect(
      Array.from({ length: 100 }, (_, i) => watch.sawBoot('a', i % 2 === 0 ? 'one' : 'two', i * 13_000)).includes(true),
    ).toBe(false);
  });

  it('does not count a boot that returns after more than a minute', () => {
    const watch = new CloneWatch();
    const hellos = (at: number): boolean[] =>
      Array.from({ length: CLONE_TURNS + 3 }, (_, i) => watch.sawBoot('a', `boot ${i}`, at + i));
    expect([...hellos(0), ...hellos(100_000)]).not.toContain(true);
    // Within the minute the same boots are turns.
    expect(hellos(130_000)).toContain(true);
  });

  it('keeps agents apart', () => {
    const watch = new CloneWatch();
    expect(
      Array.from({ length: 100 }, (_, i) =>
        watch.sawBoot(i % 2 === 0 ? 'a' : 'b', i % 2 === 0 ? 'one' : 'two', i),
      ).includes(true),
    ).toBe(false);
  });

  it('begins again after it has found a clone, and with an agent that was deleted', () => {
    const watch = new CloneWatch();
    const hellos = (count: number): boolean[] =>
      Array.from({ length: count }, (_, i) => watch.sawBoot('a', i % 2 === 0 ? 'one' : 'two', 0));
    const toFind = CLONE_TURNS + 1 + 2;
    expect(hellos(toFind).lastIndexOf(true)).toBe(toFind - 1);
    expect(hellos(toFind - 1)).not.toContain(true);
    watch.forget('a');
    expect(hellos(toFind - 1)).not.toContain(true);
  });
});
