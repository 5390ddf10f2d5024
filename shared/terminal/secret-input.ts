// Reads secrets that must not be on a command line, where other accounts see them: from files, the standard input, or a
// prompt without echo.
import { StringDecoder } from 'node:string_decoder';
import { isatty } from 'node:tty';
import { readBoundedFile } from '../files/bounded-file.ts';
import { fileFault } from '../files/errors.ts';
import { printError } from './standard-streams.ts';

const MAX_BYTES = 4096;
const HINT = 'Name a file whose first line is the secret, or - for the standard input.';
const END_OF_TEXT = '\u0003';
const END_OF_TRANSMISSION = '\u0004';
const DELETE = '\u007f';

interface SecretQuestion {
  /** Begins the sentence of an error about the file: "The token file". */
  readonly what: string;
  /** Shown on a terminal, with a colon: "Enrollment token". */
  readonly prompt: string;
}

/** What of process.stdin it needs. */
interface SecretStream extends NodeJS.EventEmitter {
  readonly isTTY?: boolean;
  setRawMode?(mode: boolean): unknown;
  pause(): unknown;
}

/** The prompt was left with Ctrl-C or Ctrl-D. */
export class PromptCanceled extends Error {}

/** Is there somebody to ask? */
export function canPrompt(): boolean {
  return isatty(0) && isatty(2);
}

/** One for each run of a program: each further secret from the standard input is its next line. */
export class SecretInput {
  readonly #stdin: () => SecretStream;
  readonly #show: (text: string) => void;
  readonly #decoder = new StringDecoder('utf8');
  /** Has come, but belongs to the next line. */
  #ahead = '';
  #hasEnded = false;

  /** The prompt is not shown on the standard output, which may go elsewhere. */
  constructor(stdin: () => SecretStream = () => process.stdin, show: (text: string) => void = printError) {
    this.#stdin = stdin;
    this.#show = show;
  }

  /**
   * The first line of a file; `-` is the next line of the standard input, asked for where that is a terminal. Throws
   * file faults and PromptCanceled.
   */
  async read(file: string, { what, prompt }: SecretQuestion): Promise<string> {
    if (file === '-') return this.#stdin().isTTY === true ? await this.ask(prompt) : await this.#piped(what);
    const bytes = await readBoundedFile({ path: file, what, maxBytes: MAX_BYTES, hint: HINT });
    return bytes.toString('utf8').split(/\r?\n/, 1)[0] ?? '';
  }

  /** What is typed is shown only with `echo`. Throws PromptCanceled. */
  async ask(prompt: string, { echo = false } = {}): Promise<string> {
    const stdin = this.#stdin();
    // Before the prompt: what somebody types who answers at once is not shown either.
    stdin.setRawMode?.(true);
    try {
      this.#show(`${prompt}: `);
      const line: string[] = [];
      const end = await this.#take((character) => {
        if (character === '\r' || character === '\n') return true;
        if (character === END_OF_TEXT || character === END_OF_TRANSMISSION) throw new PromptCanceled('Canceled.');
        if (character === DELETE || character === '\b') {
          if (line.pop() !== undefined && echo) this.#show('\b \b');
        } else if (character >= ' ' && line.length < MAX_BYTES) {
          line.push(character);
          if (echo) this.#show(character);
        }
        return false;
      });
      if (end === 'of the input') throw new PromptCanceled('Canceled.');
      return line.join('');
    } finally {
      stdin.setRawMode?.(false);
      this.#show('\n');
    }
  }

  async #piped(what: string): Promise<string> {
    const line: string[] = [];
    await this.#take((character) => {
      if (character === '\n') return true;
      if (line.push(character) > MAX_BYTES)
        throw fileFault('file_too_large', { what, file: '-', bytes: line.length, maxBytes: MAX_BYTES, hint: HINT });
      return false;
    });
    return line.join('').replace(/\r$/, '');
  }

  /**
   * Gives each character to `isLast`, until it says so or throws; a pipe that stays open behind that is not waited for.
   */
  async #take(isLast: (character: string) => boolean): Promise<'of the line' | 'of the input'> {
    const takeAhead = (): boolean => {
      for (const character of this.#ahead) {
        this.#ahead = this.#ahead.slice(character.length);
        if (isLast(character)) return true;
      }
      return false;
    };
    if (takeAhead()) return 'of the line';
    if (this.#hasEnded) return 'of the input';
    const stdin = this.#stdin();
    const taking = new AbortController();
    try {
      return await new Promise((resolve, reject) => {
        const onData = (chunk: Buffer): void => {
          this.#ahead += this.#decoder.write(chunk);
          try {
            if (takeAhead()) resolve('of the line');
          } catch (error) {
            reject(error);
          }
        };
        const onEnd = (): void => {
          this.#hasEnded = true;
          resolve('of the input');
        };
        stdin.on('data', onData).once('end', onEnd).once('error', reject);
        taking.signal.addEventListener('abort', () => stdin.off('data', onData).off('end', onEnd).off('error', reject));
      });
    } finally {
      taking.abort();
      stdin.pause();
    }
  }
}
