// Asks a person at the terminal for a secret: what is typed is not shown, and is in no argument, file or history.
import { StringDecoder } from 'node:string_decoder';
import { isatty } from 'node:tty';
import { printError } from './standard-streams.ts';

const MAX_LENGTH = 4096;
const END_OF_TEXT = '\u0003';
const END_OF_TRANSMISSION = '\u0004';

/** Is there somebody to ask? */
export function canPrompt(): boolean {
  return isatty(0) && isatty(2);
}

/** The line that was typed; undefined when it was given up (Ctrl-C, Ctrl-D, the end of the terminal). */
export async function promptSecret(question: string): Promise<string | undefined> {
  const { stdin } = process;
  printError(`${question}: `);
  stdin.setRawMode(true);
  try {
    return await readLine();
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    printError('\n');
  }
}

async function readLine(): Promise<string | undefined> {
  const decoder = new StringDecoder('utf8');
  const line: string[] = [];
  return await new Promise((resolve, reject) => {
    const done = (result: string | undefined): void => {
      process.stdin.off('data', onData).off('end', onEnd).off('error', reject);
      resolve(result);
    };
    const onEnd = (): void => done(undefined);
    const onData = (chunk: Buffer): void => {
      for (const character of decoder.write(chunk)) {
        if (character === '\r' || character === '\n') return done(line.join(''));
        if (character === END_OF_TEXT || character === END_OF_TRANSMISSION) return done(undefined);
        if (character === '\u007f' || character === '\b') line.pop();
        else if (character >= ' ' && line.length < MAX_LENGTH) line.push(character);
      }
    };
    process.stdin.on('data', onData).once('end', onEnd).once('error', reject);
  });
}
