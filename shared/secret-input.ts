// Reads a secret that must not be on a command line, where other accounts see it: from a file, from stdin, or from a prompt without echo.
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { readBoundedFile } from './bounded-file.ts';

const MAX_BYTES = 4096;

/** What of the process it needs; process.stdin and process.stderr. */
export interface SecretIo {
  readonly stdin: NodeJS.ReadStream;
  /** Not stdout, which may go elsewhere. */
  readonly stderr: { write(text: string): unknown };
}

export interface SecretQuestion {
  /** Begins the sentence of an error about the file: "The token file". */
  readonly what: string;
  /** Shown on a terminal: "Enrollment token: ". */
  readonly prompt: string;
}

/** The prompt was left with Ctrl-C or Ctrl-D. */
export class PromptCanceled extends Error {}

/** The first line of a file; `-` is stdin, with a prompt where that is a terminal. Throws file faults and PromptCanceled. */
export async function readSecret(file: string, question: SecretQuestion, io: SecretIo = process): Promise<string> {
  if (file !== '-') {
    const bytes = await readBoundedFile({ path: file, what: question.what, maxBytes: MAX_BYTES, mend: 'Name a file whose first line is the secret, or - for stdin.' });
    return firstLine(bytes);
  }
  return io.stdin.isTTY ? await ask(question.prompt, io) : await readInput(io);
}

/** Asks on a terminal. What is typed is not shown. */
async function ask(prompt: string, { stdin, stderr }: SecretIo): Promise<string> {
  // As a terminal, so that readline switches the echo off; what it would show goes nowhere. The prompt comes after that: who types at once
  // must not be shown either.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output: silent, terminal: true, historySize: 0 });
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('line', (line) => resolve(line));
      lines.once('SIGINT', () => reject(new PromptCanceled('Canceled.')));
      lines.once('close', () => reject(new PromptCanceled('Canceled.')));
      stderr.write(prompt);
    });
  } finally {
    lines.close();
    stderr.write('\n');
  }
}

/** The first line: a pipe that stays open behind it is not waited for. */
async function readInput({ stdin }: SecretIo): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stdin as AsyncIterable<Buffer | string>) {
    const part = Buffer.from(chunk as Buffer);
    chunks.push(part);
    bytes += part.length;
    if (bytes > MAX_BYTES || part.includes(0x0a)) break;
  }
  return firstLine(Buffer.concat(chunks).subarray(0, MAX_BYTES));
}

/** What an editor or echo wrote ends in a line break that belongs to no secret. */
function firstLine(bytes: Buffer): string {
  return (bytes.toString('utf8').split('\n', 1)[0] ?? '').replace(/\r$/, '');
}
