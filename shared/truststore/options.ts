// The options of truststore commands: their values, and the passwords that come from a file, standard input or the
// environment.
import { usageFault, type LineCommand, type LineOption, type ProgramLine } from '../terminal/program.ts';
import type { SecretInput } from '../terminal/secret-input.ts';
import { printableLine } from '../keystore/material.ts';
import type { WritableFormat } from './write.ts';

export interface CommandIo {
  stdout(text: string): void;
  stderr(text: string): void;
  readonly secrets: SecretInput;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The program that runs, as it is typed: queue-agent or queuegate. Its environment variables begin so too. */
  readonly program: 'queue-agent' | 'queuegate';
}

/** The environment variables that hold the passwords. */
export function passwordVariables(program: CommandIo['program']): {
  readonly password: string;
  readonly newPassword: string;
} {
  const prefix = program === 'queue-agent' ? 'QUEUE_AGENT' : 'QUEUEGATE';
  return { password: `${prefix}_TRUSTSTORE_PASSWORD`, newPassword: `${prefix}_TRUSTSTORE_NEW_PASSWORD` };
}

/**
 * Those that hold the password itself are known only to be refused: other accounts see the arguments of a process (ps).
 */
const REFUSED = { type: 'string', doc: '', isHidden: true } as const satisfies LineOption;
export const PASSWORD = {
  'password-file': {
    type: 'string',
    value: 'FILE',
    doc: 'file with the password of FILE; - reads it from the standard input',
  },
  password: REFUSED,
} as const satisfies Readonly<Record<string, LineOption>>;
export const NEW_PASSWORD = {
  'new-password-file': { type: 'string', value: 'FILE', doc: 'file with the new password; - as above' },
  'new-password': REFUSED,
} as const satisfies Readonly<Record<string, LineOption>>;

export interface TruststoreCommand extends LineCommand {
  run(options: Options, io: CommandIo): Promise<void>;
}

/** One line, with what its options mean. */
export class Options {
  readonly file: string;
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #command: TruststoreCommand;
  readonly #io: CommandIo;

  /** Errors: usage. */
  constructor({ command, words, values }: Extract<ProgramLine<TruststoreCommand>, { kind: 'command' }>, io: CommandIo) {
    this.#command = command;
    this.#io = io;
    this.#values = values;
    this.file = words[0] ?? '';
    if (this.file === '') throw this.complain('FILE is missing');
  }

  complain(found: string): Error {
    return usageFault(`${this.#io.program} truststore`, this.#command, found);
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** Errors: usage with `missing`. */
  needed(name: string, missing: string): string {
    const value = this.text(name);
    if (value === undefined || value === '') throw this.complain(missing);
    return value;
  }

  list(name: string): string[] {
    const value = this.#values[name];
    return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
  }

  alias(): string | undefined {
    const alias = this.text('alias');
    if (alias !== undefined && !/^[^\p{Cc}]{1,255}$/u.test(alias))
      throw this.complain('The alias is empty, too long or holds control characters; allowed are 1 to 255 characters.');
    return alias;
  }

  type(): WritableFormat | undefined {
    const value = this.text('type');
    if (value === undefined || value === 'jks' || value === 'pkcs12' || value === 'pem') return value;
    throw this.complain(`--type is "${printableLine(value)}"; allowed are jks, pkcs12 and pem.`);
  }

  /** The store's password; undefined: "changeit" is tried. */
  async password(): Promise<string | undefined> {
    return await this.#secret('password', passwordVariables(this.#io.program).password);
  }

  async newPassword(): Promise<string | undefined> {
    return await this.#secret('new-password', passwordVariables(this.#io.program).newPassword);
  }

  async #secret(name: string, variable: string): Promise<string | undefined> {
    if (this.text(name) !== undefined)
      throw this.complain(
        `--${name} is not taken: other accounts see the arguments of a process. Use --${name}-file FILE (- reads it from the standard input) or ${variable}.`,
      );
    const file = this.text(`${name}-file`);
    if (file === undefined) return this.#io.env[variable] || undefined;
    return await this.#io.secrets.read(file, {
      what: 'The password file',
      prompt: name === 'password' ? 'Password of the truststore' : 'New password',
    });
  }
}
