// The option --watch: a command that only reads is run again and again: as soon as Central answers that something is
// another one (waitSeconds), when Central streams that something of its collection changed, or every two seconds. A
// terminal shows its last answer; elsewhere each line is printed that was not in the answer before.
import { setTimeout as delay } from 'node:timers/promises';
import { EXIT_UNREACHABLE, exitStatusOf } from '../../../shared/terminal/exit-status.ts';
import { textOf } from '../../../shared/errors.ts';
import type { Client, Tagged } from '../client.ts';
import type { CommandOption } from '../command.ts';
import type { ChangeStream } from './change-stream.ts';

/** Of lists, and of what shows one thing that changes. */
export const WATCH = {
  watch: { type: 'boolean', short: 'w', doc: 'show it again as it changes, until Ctrl-C' },
} as const satisfies Readonly<Record<string, CommandOption>>;

const LOOK_MS = 2_000;
/** Between two answers that Central gives when something has changed. */
const PAUSE_MS = 100;
/** Between two looks because of changes: ten thousand agents that connect change all the time. */
const NEWS_PAUSE_MS = 1_000;
/** Central answers sooner where something changes, and never later than this. */
const WAIT_SECONDS = 55;

/** What one run printed. */
export interface Screen {
  readonly text: string;
  readonly hasHeader: boolean;
  /** It waited at Central for a change: the next look comes at once. */
  readonly isAwaited?: boolean;
}

/** Reads one thing again and again: each time once it is another one than before, if Central can wait for that. */
export class Watched {
  #known: Tagged | undefined;
  #path = '';
  isAwaited = false;

  async read(client: Pick<Client, 'changed'>, path: string): Promise<unknown> {
    if (path !== this.#path) this.#known = undefined;
    this.#path = path;
    this.#known = await client.changed(path, this.#known, WAIT_SECONDS);
    this.isAwaited = true;
    return this.#known.value;
  }
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
  /** When to look again, of what Central streams the changes of. */
  readonly changes?: Pick<ChangeStream, 'next'> | undefined;
}

/**
 * Until it is interrupted. Errors: those of the first run; later ones unless Central only cannot be reached for a
 * while.
 */
export async function watch(watching: Watching): Promise<void> {
  const { look, redraw, line, notice, signal, everyMs = LOOK_MS, changes } = watching;
  let before: string | undefined;
  let fault = '';
  while (!signal.aborted) {
    let pauseMs = everyMs;
    let isAnnounced = false;
    try {
      const screen = await look();
      if (screen.text !== before) (redraw ?? ((next: Screen) => printNews(next.text, before, line)))(screen);
      before = screen.text;
      isAnnounced = screen.isAwaited !== true && changes !== undefined;
      if (screen.isAwaited === true) pauseMs = Math.min(everyMs, PAUSE_MS);
      if (isAnnounced) pauseMs = Math.min(everyMs, NEWS_PAUSE_MS);
      fault = '';
    } catch (error) {
      if (before === undefined || signal.aborted || exitStatusOf(error) !== EXIT_UNREACHABLE) throw error;
      if (textOf(error) !== fault) notice(textOf(error));
      fault = textOf(error);
    }
    await delay(pauseMs, undefined, { signal });
    if (isAnnounced) await changes?.next();
  }
}

function printNews(text: string, before: string | undefined, line: (text: string) => void): void {
  const known = new Set(before?.split('\n'));
  const news = text.split('\n').filter((one) => one !== '' && !known.has(one));
  if (news.length > 0) line(news.join('\n'));
}
