// The option --watch: a command that only reads is run again and again. A terminal shows its last answer; elsewhere
// each line is printed that was not in the answer before.
import { setTimeout as delay } from 'node:timers/promises';
import { EXIT_UNREACHABLE, exitStatusOf } from '../../../shared/terminal/exit-status.ts';
import { textOf } from '../../../shared/errors.ts';
import type { CommandOption } from '../command.ts';

/** Of lists, and of what shows one thing that changes. */
export const WATCH = {
  watch: { type: 'boolean', short: 'w', doc: 'show it again as it changes, until Ctrl-C' },
} as const satisfies Readonly<Record<string, CommandOption>>;

const LOOK_MS = 2_000;

/** What one run printed. */
export interface Screen {
  readonly text: string;
  readonly hasHeader: boolean;
}

interface Watching {
  /** Runs the command once. */
  readonly look: () => Promise<Screen>;
  /** Shows an answer instead of the one before. Undefined: not a terminal. */
  readonly redraw: ((screen: Screen) => void) | undefined;
  readonly line: (text: string) => void;
  readonly notice: (text: string) => void;
  readonly signal: AbortSignal;
  readonly everyMs?: number;
}

/**
 * Until it is interrupted. Errors: those of the first run; later ones unless Central only cannot be reached for a
 * while.
 */
export async function watch({ look, redraw, line, notice, signal, everyMs = LOOK_MS }: Watching): Promise<void> {
  let before: string | undefined;
  let fault = '';
  while (!signal.aborted) {
    try {
      const screen = await look();
      if (screen.text !== before) (redraw ?? ((next: Screen) => printNews(next.text, before, line)))(screen);
      before = screen.text;
      fault = '';
    } catch (error) {
      if (before === undefined || signal.aborted || exitStatusOf(error) !== EXIT_UNREACHABLE) throw error;
      if (textOf(error) !== fault) notice(textOf(error));
      fault = textOf(error);
    }
    await delay(everyMs, undefined, { signal });
  }
}

function printNews(text: string, before: string | undefined, line: (text: string) => void): void {
  const known = new Set(before?.split('\n'));
  const news = text.split('\n').filter((one) => one !== '' && !known.has(one));
  if (news.length > 0) line(news.join('\n'));
}
