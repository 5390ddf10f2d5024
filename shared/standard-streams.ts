// The one place that writes to the standard streams (and reads secrets from one): what came from elsewhere cannot act on a terminal, whoever put the text together.
import { isatty } from 'node:tty';
import { escapeLines } from './terminal.ts';

export function printOut(text: string): void {
  process.stdout.write(escapeLines(text));
}

export function printError(text: string): void {
  process.stderr.write(escapeLines(text));
}

/** Is the standard output a terminal? Else it may be a log, a pipe or a file that others read: no secret is written there. */
export function printsToTerminal(): boolean {
  return isatty(1);
}

/** All of the standard input. Throws when it has more than `maxBytes`. */
export async function readStandardInput(maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new Error(`the standard input has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
