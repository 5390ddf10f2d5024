// Watching: one answer after the other, on a terminal and without one.
import { expect, it } from 'vitest';
import { cliFault } from '../../../../central/cli/errors.ts';
import { watch, Watched, type Screen } from '../../../../central/cli/watching/watch.ts';

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

it('looks again at once where Central waits for the change, with what it showed last', async () => {
  const asked: (string | undefined)[] = [];
  const answers = ['a', 'a', 'b'];
  const client = {
    async changed(
      path: string,
      known: { readonly value: unknown; readonly etag: string | undefined } | undefined,
      seconds: number,
    ) {
      asked.push(`${path} ${known?.etag} ${seconds}`);
      const value = answers[asked.length - 1] ?? 'c';
      return { value, etag: `"${value}"` };
    },
  };
  const [shown, ended, watched] = [[] as string[], new AbortController(), new Watched()];
  const running = watch({
    async look() {
      const text = String(await watched.read(client, '/rollouts/r-1'));
      if (text === 'c') ended.abort();
      return { text, hasHeader: false, isAwaited: watched.isAwaited };
    },
    redraw: undefined,
    line: (text) => void shown.push(text),
    notice: () => undefined,
    signal: ended.signal,
    // Longer than the test may take.
    everyMs: 600_000,
  });
  await expect(running).rejects.toThrow('aborted');
  expect(shown).toEqual(['a', 'b', 'c']);
  expect(asked).toEqual(['undefined', '"a"', '"a"', '"b"'].map((tag) => `/rollouts/r-1 ${tag} 55`));
});

it('looks again only when Central says that something changed', async () => {
  const [ended, looks] = [new AbortController(), [] as string[]];
  const asked: (() => void)[] = [];
  const running = watch({
    async look() {
      looks.push('look');
      return { text: String(looks.length), hasHeader: false };
    },
    redraw: undefined,
    line: () => undefined,
    notice: () => undefined,
    signal: ended.signal,
    everyMs: 1,
    changes: {
      next: async () => await new Promise<void>((resolve) => asked.push(resolve)),
    },
  });
  for (let count = 1; count <= 3; count += 1) {
    await expect.poll(() => asked.length, { interval: 1 }).toBe(count);
    expect(looks).toHaveLength(count);
    asked.at(-1)?.();
  }
  ended.abort();
  asked.at(-1)?.();
  await running;
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
