// Creates the first administrator's token, and the file in the data folder that holds it.
import { join } from 'node:path';
import { replaceSecretFile } from '../../shared/files/secret-file.ts';
import { ADMINISTRATOR_TOKEN_FILE } from '../config.ts';
import type { ApiTokens } from './api-tokens.ts';

/** The token, when this start created it. Afterwards it is in its 0600 file only, and its hash in the store. */
export async function createFirstToken(apiTokens: ApiTokens, dataFolder: string): Promise<string | undefined> {
  if ((await apiTokens.list()).length > 0) return undefined;
  // Fails before the token exists if the file cannot be written: a token that is known nowhere would lock the
  // administrator out.
  const file = join(dataFolder, ADMINISTRATOR_TOKEN_FILE);
  await replaceSecretFile(file, Buffer.alloc(0));
  const token = await apiTokens.first();
  if (token !== undefined) await replaceSecretFile(file, Buffer.from(`${token}\n`));
  return token;
}
