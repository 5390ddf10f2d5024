// The one place that writes to the standard streams: text from elsewhere cannot act on a terminal, whichever part
// composed it.
import { closeSync, openSync } from 'node:fs';
import { devNull } from 'node:os';
import { StringDecoder } from 'node:string_decoder';
import { isatty } from 'node:tty';
import { escapeLines } from './escape.ts';

export function printOut(text: string): void {
  process.stdout.write(escapeLines(text));
}

/** As `printOut`, with a first line in bold (SGR, ECMA-48 section 8.3.117): the header of a table, on a terminal. */
export function printWithHeader(text: string): void {
  process.stdout.write(escapeLines(text).replace(/^.*/, (header) => `\u001b[1m${header}\u001b[22m`));
}

const decoders = { out: new StringDecoder('utf8'), error: new StringDecoder('utf8') };

/** Bytes as they are, for a file or a pipe; on a terminal as text that cannot act on it. Resolves when written. */
export async function writeBytes(to: 'error' | 'out', bytes: Uint8Array): Promise<void> {
  const stream = to === 'out' ? process.stdout : process.stderr;
  const shown = isatty(to === 'out' ? 1 : 2) ? escapeLines(decoders[to].write(Buffer.from(bytes))) : bytes;
  await new Promise<void>((resolve, reject) => stream.write(shown, (error) => (error ? reject(error) : resolve())));
}

/**
 * In place of what the terminal shows: the cursor to its first cell, and all cells erased (ECMA-48 sections 8.3.21 and
 * 8.3.39).
 */
export function redrawOut(text: string, hasHeader: boolean): void {
  process.stdout.write('\u001b[H\u001b[2J');
  (hasHeader ? printWithHeader : printOut)(text);
}

export function printError(text: string): void {
  process.stderr.write(escapeLines(text));
}

/** As `printError`, of a text that begins with "error:", which is red on a terminal. */
export function printFault(text: string): void {
  const isColored = isatty(2) && allowsColor(process.env);
  process.stderr.write(isColored ? redError(escapeLines(text)) : escapeLines(text));
}

/** SGR, ECMA-48 section 8.3.117. */
export function redError(text: string): string {
  return text.replace(/^error:/, (word) => `\u001b[31m${word}\u001b[39m`);
}

/** https://no-color.org; a dumb terminal shows the codes. */
export function allowsColor(environment: Readonly<Record<string, string | undefined>>): boolean {
  return !environment['NO_COLOR'] && environment['TERM'] !== 'dumb';
}

/**
 * Is the standard output a terminal? Else it may be a log, a pipe or a file that others read: no secret is written
 * there.
 */
export function printsToTerminal(): boolean {
  return isatty(1);
}

/** `queuegate events list | head`: the reader has seen enough, which is not a failure. */
export function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
}

/**
 * For a daemon, first of all: it reads no input, and holds no terminal for it, such as the one of a shell that started
 * it in the background. Before anything else opens a file: open(2) returns the lowest free descriptor, which is then
 * the one just closed.
 */
export function releaseInput(): void {
  if (!isatty(0)) return;
  closeSync(0);
  openSync(devNull, 'r');
}
