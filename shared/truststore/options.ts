// The command line of truststore commands: its flags, and the passwords that come from a file, standard input or the
// environment.
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { textOf } from '../errors.ts';
import { wrongDash } from '../terminal/dashes.ts';
import type { SecretInput } from '../terminal/secret-input.ts';
import { printableLine } from '../keystore/material.ts';
import { truststoreFault } from './errors.ts';
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

/** Those that hold the password itself are known only to be refused: other accounts see the arguments of a process (ps). */
export const PASSWORD = { password: { type: 'string' }, 'password-file': { type: 'string' } } as const;
export const NEW_PASSWORD = { 'new-password': { type: 'string' }, 'new-password-file': { type: 'string' } } as const;

/** One line of words, taken apart. */
export class Options {
  readonly file: string;
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #io: CommandIo;

  /** Throws truststore_usage. */
  constructor(args: readonly string[], options: NonNullable<ParseArgsConfig['options']>, io: CommandIo) {
    this.#io = io;
    let parsed: { positionals: string[]; values: Record<string, unknown> };
    try {
      parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
    } catch (error) {
      throw this.complain(wrongDash(args) ?? textOf(error), error);
    }
    const dash = wrongDash(parsed.positionals);
    if (dash !== undefined) throw this.complain(`${dash}.`);
    const [file, ...more] = parsed.positionals;
    if (file === undefined || file === '' || more.length > 0)
      throw this.complain(
        more.length === 0
          ? 'Which truststore? FILE is missing.'
          : `One FILE is allowed, ${more.length + 1} were found.`,
      );
    this.file = file;
    this.#values = parsed.values;
  }

  complain(found: string, cause?: unknown): Error {
    return truststoreFault('truststore_usage', { found, program: this.#io.program }, cause);
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** Throws truststore_usage with `missing`. */
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
