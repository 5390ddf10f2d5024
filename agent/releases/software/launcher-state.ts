// Reads and writes the files by which the launcher chooses what it starts (the contract is at the top of
// deploy/queue-agent/launch). Each file is replaced durably, in the order that the contract demands: a kill between any
// two steps leaves a state that starts.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder, writing } from '../../../shared/files/disk-faults.ts';
import { readBoundedFile } from '../../../shared/files/bounded-file.ts';
import { replaceOwnFile } from '../../../shared/files/secret-file.ts';
import { isCoded } from '../../../shared/errors.ts';
import { syncFolder } from '../../../shared/platform/files.ts';
import type { SoftwarePair } from '../../software-slot.ts';

/** Two digests, and a code or a number. */
const MAX_LINE_BYTES = 256;
const WORD = '(factory|[0-9a-f]{64})';
const LINE = new RegExp(`^${WORD} ${WORD}(?: ([a-z0-9_]{1,64}))?\\n$`);
/** Digits of TRIAL_SECONDS that the launcher reads. */
const MAX_SECONDS = 99_999;

type StateFile = 'current' | 'candidate' | 'tries' | 'verdict';

interface StateLine {
  readonly pair: SoftwarePair;
  readonly more: string;
}

export class LauncherState {
  readonly #folder: string;
  readonly #onStep: (step: string) => void;

  constructor(softwareFolder: string, onStep: (step: string) => void) {
    this.#folder = join(softwareFolder, 'state');
    this.#onStep = onStep;
  }

  /** Undefined: it is missing, or not what it should be. */
  async read(name: StateFile): Promise<StateLine | undefined> {
    const bytes = await readBoundedFile({
      path: join(this.#folder, name),
      what: 'The state of the launcher',
      maxBytes: MAX_LINE_BYTES,
      hint: 'Delete it.',
      ifMissing: 'ignore',
    }).catch((error: unknown) => {
      if (!isCoded(error)) throw error;
      return undefined;
    });
    const [, program, runtime, more = ''] = LINE.exec(bytes?.toString('latin1') ?? '') ?? [];
    if (program === undefined || runtime === undefined) return undefined;
    return { pair: { program: digestOf(program), runtime: digestOf(runtime) }, more };
  }

  /** From the next start on the pair is on trial. Errors: disk faults. */
  async beginTrial(pair: SoftwarePair, seconds: number): Promise<void> {
    await this.#remove('verdict', 'tries');
    await this.#write('candidate', pair, String(Math.min(seconds, MAX_SECONDS)));
  }

  /** From the first write on the pair is the committed one. Errors: disk faults. */
  async commit(pair: SoftwarePair): Promise<void> {
    await this.#write('current', pair);
    await this.#remove('candidate', 'tries');
  }

  /** From the next start on what is committed runs. Errors: disk faults. */
  async giveUp(pair: SoftwarePair, code: string): Promise<void> {
    await this.#write('verdict', pair, code);
  }

  /** Nothing is left of a trial. Errors: disk faults. */
  async clear(): Promise<void> {
    await this.#remove('candidate', 'tries', 'verdict');
  }

  async #write(name: StateFile, { program, runtime }: SoftwarePair, more = ''): Promise<void> {
    const words = [program ?? 'factory', runtime ?? 'factory', ...(more === '' ? [] : [more])];
    this.#onStep(`before ${name}`);
    await makeFolder(this.#folder, 0o755);
    await replaceOwnFile(join(this.#folder, name), Buffer.from(`${words.join(' ')}\n`));
    this.#onStep(`after ${name}`);
  }

  async #remove(...names: readonly StateFile[]): Promise<void> {
    for (const name of names) {
      const file = join(this.#folder, name);
      if ((await this.read(name)) === undefined) continue;
      this.#onStep(`before removal of ${name}`);
      await writing(file, async () => {
        await rm(file, { force: true });
        await syncFolder(this.#folder);
      });
      this.#onStep(`after removal of ${name}`);
    }
  }
}

export function isSamePair(one: SoftwarePair, other: SoftwarePair): boolean {
  return one.program === other.program && one.runtime === other.runtime;
}

function digestOf(word: string): string | null {
  return word === 'factory' ? null : word;
}
