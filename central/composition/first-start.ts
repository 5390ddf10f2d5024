// Creates what a new installation is entered with: the first administrator's token with its 0600 file, and a first
// enrollment token. A mark in the data folder lasts from before the first of them until they were shown, so that a
// start that is cut is completed by the next one.
import { access, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isCoded } from '../../shared/errors.ts';
import { readBoundedFile } from '../../shared/files/bounded-file.ts';
import { replaceSecretFile } from '../../shared/files/secret-file.ts';
import { syncFolder } from '../../shared/platform/files.ts';
import { CENTRAL } from '../audit.ts';
import type { ApiTokens } from '../auth/api-tokens.ts';
import { ADMINISTRATOR_TOKEN_FILE } from '../config.ts';
import {
  createFirstEnrollment,
  type FirstEnrollment,
  type FirstEnrollmentNeeds,
} from '../enrollment/open-enrollment.ts';

/** In the data folder, empty: the first start has not shown its tokens yet. */
const FIRST_START_FILE = 'first-start-unfinished';
const MAX_TOKEN_BYTES = 1024;

export interface FirstStart {
  readonly administratorToken: string;
  /** Creates a one-time enrollment token; the one of a start that was cut is withdrawn. */
  enrollment(): Promise<FirstEnrollment>;
  /** Called once both have been shown, or are in their files. */
  finish(): Promise<void>;
}

interface FirstStartNeeds extends FirstEnrollmentNeeds {
  readonly config: { readonly dataFolder: string };
  readonly apiTokens: Pick<ApiTokens, 'createAdministrator' | 'isValid' | 'list'>;
}

/** Undefined where the installation has been entered before. */
export async function beginFirstStart(needs: FirstStartNeeds): Promise<FirstStart | undefined> {
  const { apiTokens, enrollmentTokens } = needs;
  const { dataFolder } = needs.config;
  const mark = join(dataFolder, FIRST_START_FILE);
  const cut = await isThere(mark);
  if (!cut) {
    if ((await apiTokens.list()).length > 0) return undefined;
    await replaceSecretFile(mark, Buffer.alloc(0));
  }
  const file = join(dataFolder, ADMINISTRATOR_TOKEN_FILE);
  const kept = await textIn(file);
  // One that was cut may have stored a token whose text was lost since: there is another one then.
  const isFirst = !(cut && kept === '');
  const administratorToken =
    kept !== undefined && (await apiTokens.isValid(kept)) ? kept : await createFirst(file, apiTokens, isFirst);
  if (administratorToken === undefined) {
    await rm(mark, { force: true });
    return undefined;
  }
  return {
    administratorToken,
    async enrollment() {
      // It was stored, but never shown or written to its file: it cannot be known.
      for (const { id, createdBy, agentName, uses } of await enrollmentTokens.list())
        if (createdBy === CENTRAL.who && agentName === null && uses === 0)
          await enrollmentTokens.withdraw(id, 'the first start was cut before it was shown');
      return await createFirstEnrollment(needs);
    },
    async finish() {
      await rm(mark, { force: true });
      await syncFolder(dataFolder);
    },
  };
}

/** Undefined: another node on the same store made the first one, in its own data folder. */
async function createFirst(
  file: string,
  apiTokens: FirstStartNeeds['apiTokens'],
  isFirst: boolean,
): Promise<string | undefined> {
  const keep = async (token: string): Promise<void> => await keepToken(file, token);
  try {
    return await apiTokens.createAdministrator('first administrator', CENTRAL, keep, { isFirst });
  } catch (error) {
    if (!isCoded(error, 'first_token_elsewhere')) throw error;
    // A token that is not valid.
    await rm(file, { force: true });
    return undefined;
  }
}

/** Writes the token to its 0600 file; for `createAdministrator`, before the token is valid. */
async function keepToken(file: string, token: string): Promise<void> {
  await replaceSecretFile(file, Buffer.from(`${token}\n`));
}

/** The token that an earlier start wrote; one that was cut before its commit is not valid. Undefined: there is no file. */
async function textIn(file: string): Promise<string | undefined> {
  const bytes = await readBoundedFile({
    path: file,
    what: 'The token file',
    maxBytes: MAX_TOKEN_BYTES,
    hint: 'Remove it: the next start writes another one.',
    ifMissing: 'ignore',
  });
  return bytes?.toString('utf8').trim();
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
