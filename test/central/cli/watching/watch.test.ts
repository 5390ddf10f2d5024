// Watching: one answer after the other, on a terminal and without one.
import { expect, it } from 'vitest';
import { cliFault } from '../../../../central/cli/errors.ts';
import { watch, type Screen } from '../../../../central/cli/watching/watch.ts';

type Look = string | Error;

async function watched(looks: readonly Look[], isTerminal: boolean) {
  const ended = new AbortController();
  const [shown, notices]: [string[], string[]] = [[], []];
  const left = [...looks];
  const running = watch({
    async look(): Promise<Screen> {
      const next = left.shift();
      if (next === undefined) {
        ended.abort();
        return { text: '', hasHeader: false };
      }
      if (next instanceof Error) throw next;
      return { text: next, hasHeader: true };
    },
    redraw: isTerminal ? ({ text }) => void shown.push(text) : undefined,
    line: (text) => void shown.push(text),
    notice: (text) => void notices.push(text),
    signal: ended.signal,
    everyMs: 1,
  });
  // The delay that is cut short by the end.
  await expect(running).rejects.toThrow('aborted');
  return { shown: shown.filter((text) => text !== ''), notices };
}

it('shows a whole answer on a terminal, only when it is another one', async () => {
  const { shown } = await watched(['NAME\na', 'NAME\na', 'NAME\na\nb'], true);
  expect(shown).toEqual(['NAME\na', 'NAME\na\nb']);
});

it('prints only the lines that are new elsewhere', async () => {
  const { shown } = await watched(['NAME\na online', 'NAME\na online', 'NAME\na offline\nb online'], false);
  expect(shown).toEqual(['NAME\na online', 'a offline\nb online']);
});

it('goes on while Central cannot be reached, and says so once', async () => {
  const away = cliFault('administration_unreachable', { url: 'https://c:8443', found: 'it restarts' });
  const { shown, notices } = await watched(['one', away, away, 'two'], false);
  expect(shown).toEqual(['one', 'two']);
  expect(notices).toHaveLength(1);
});

it('ends with the error of the first look, and with one that does not pass', async () => {
  const watchOne = async (...looks: Look[]) => {
    const left = [...looks];
    await watch({
      async look() {
        const next = left.shift() ?? '';
        if (next instanceof Error) throw next;
        return { text: next, hasHeader: false };
      },
      redraw: undefined,
      line: () => undefined,
      notice: () => undefined,
      signal: new AbortController().signal,
      everyMs: 1,
    });
  };
  await expect(watchOne(cliFault('administration_unreachable', { url: 'u', found: 'f' }))).rejects.toThrow('u');
  await expect(watchOne('one', cliFault('change_missing', {}))).rejects.toThrow('No change');
});
