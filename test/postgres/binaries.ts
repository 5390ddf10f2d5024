// Where PostgreSQL's programs are, and the account that they run as: a server refuses to run as root.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Account } from '../flow/processes.ts';

/** Where Debian's packages install each version beside the others. */
const VERSIONS = '/usr/lib/postgresql';
const LEAST_VERSION = 14;

/** The folder of initdb and postgres: of POSTGRES_BIN, or of the newest version that is installed. */
export function postgresBinaries(): string | undefined {
  const given = process.env['POSTGRES_BIN'];
  if (given !== undefined) return given;
  const versions = existsSync(VERSIONS) ? readdirSync(VERSIONS).map(Number) : [];
  return versions
    .filter((version) => version >= LEAST_VERSION)
    .toSorted((one, other) => other - one)
    .map((version) => join(VERSIONS, String(version), 'bin'))
    .find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')));
}

/** True, with a line that says so, where PostgreSQL is not installed. CI has it: there its absence is a failure. */
export function lacksPostgres(): boolean {
  if (postgresBinaries() !== undefined || process.env['CI'] === 'true') return false;
  console.warn('SKIPPED: PostgreSQL >= 14 is not installed (Debian: postgresql); tests with it do not run.');
  return true;
}

/** The account of the server: our own, and for root that of Debian's package. */
export function postgresAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const [, uid, gid] = /^postgres:[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8')) ?? [];
  if (uid === undefined) throw new Error('this host has no account "postgres": install the package postgresql');
  return { uid: Number(uid), gid: Number(gid) };
}
