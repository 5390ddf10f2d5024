// Hands over a secret that Central made: on a terminal, or in a new file that only this account may read. Without a
// terminal the standard output is a pipe, a log or a file that others may read.
import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import { makeFolder } from '../../shared/files/disk-faults.ts';
import { textOf } from '../../shared/errors.ts';
import { checkSecretFile, createSecretFile } from '../../shared/files/secret-file.ts';
import { stateFolder } from '../../shared/platform/files.ts';
import type { CommandCall } from './command.ts';
import { cliFault } from './errors.ts';

export const SECRET_OUT = {
  out: {
    type: 'string',
    doc: 'write the secret, and nothing else, to this new file (mode 0600) instead of showing it',
  },
} as const;

type SecretKind = 'api-token' | 'enrollment-token' | 'recovery-code' | 'webhook-secret';

interface SecretPlace {
  /** Writes the secret; where to, as it is typed. Undefined: it is to be shown. */
  keep(secret: string, of: string): Promise<string | undefined>;
}

/**
 * Where the secret will go. Asked for before Central makes one: a secret that cannot be kept is not made. Errors:
 * secret_place_missing and those of secret files.
 */
export async function secretPlace(call: CommandCall, kind: SecretKind): Promise<SecretPlace> {
  const out = call.text('out');
  if (out !== undefined) {
    const file = resolve(call.workingFolder, out);
    await checkSecretFile(file);
    return {
      async keep(secret) {
        await createSecretFile(file, Buffer.from(`${secret}\n`));
        return out;
      },
    };
  }
  // A name leaves the secret out, which would be lost.
  const isNamed = call.format === 'name';
  if (call.terminal && !isNamed) return { keep: async () => undefined };
  const folder = join(stateFolder(call.environment), 'queuegate');
  try {
    await makeFolder(folder, 0o700);
    await checkSecretFile(join(folder, kind));
  } catch (error) {
    throw cliFault('secret_place_missing', { folder, found: textOf(error) }, error);
  }
  return {
    async keep(secret, of) {
      // `of` comes from an answer.
      const file = join(
        folder,
        `${kind}-${of.replaceAll(/[^\w-]/g, '_').slice(0, 64)}-${randomBytes(4).toString('hex')}`,
      );
      await createSecretFile(file, Buffer.from(`${secret}\n`));
      if (isNamed) call.notice(`The secret is in ${file} (mode 0600).`);
      return file;
    },
  };
}
