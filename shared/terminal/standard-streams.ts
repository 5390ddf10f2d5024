// The one place that writes to the standard streams: text from elsewhere cannot act on a terminal, whichever part composed it.
import { isatty } from 'node:tty';
import { escapeLines } from './escape.ts';

export function printOut(text: string): void {
  process.stdout.write(escapeLines(text));
}

/** As `printOut`, with a first line in bold (SGR, ECMA-48 section 8.3.117): the header of a table, on a terminal. */
export function printWithHeader(text: string): void {
  process.stdout.write(escapeLines(text).replace(/^.*/, (header) => `\u001b[1m${header}\u001b[22m`));
}

export function printError(text: string): void {
  process.stderr.write(escapeLines(text));
}

/** Is the standard output a terminal? Else it may be a log, a pipe or a file that others read: no secret is written there. */
export function printsToTerminal(): boolean {
  return isatty(1);
}

/** `queuegate events list | head`: the reader has seen enough, which is not a failure. */
export function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
}
