// Creates an administrator's token on Central's own host, for an installation whose tokens are lost. Central must not run: the store has
// one writer. Any account that may write the data folder may do so; the audit log records it.
import { join } from 'node:path';
import { systemCode } from '../../shared/errors.ts';
import { replaceSecretFile } from '../../shared/files/secret-file.ts';
import { createApiTokens } from '../auth/api-tokens.ts';
import { ADMINISTRATOR_TOKEN_FILE, configFault, type CentralConfig } from '../config.ts';
import { openCentralStore, openStoreFiles } from '../store/open-store.ts';

const ON_THE_HOST = { who: 'queuegate-central create-administrator-token', from: 'local' } as const;

/** Returns the 0600 file that holds the token; `queuegate` on this host uses it. Errors: data_folder_empty, and those of the store. */
export async function createAdministratorToken(
  config: Pick<CentralConfig, 'advertisedNames' | 'centralName' | 'dataFolder' | 'hostName'>,
): Promise<string> {
  const folder = config.dataFolder;
  await openStoreFiles(folder)
    .copyBytes()
    .catch((error: unknown) => {
      throw systemCode(error) === 'ENOENT' ? configFault('data_folder_empty', { folder }, error) : error;
    });
  const file = join(folder, ADMINISTRATOR_TOKEN_FILE);
  const store = await openCentralStore(config, () => undefined);
  try {
    const apiTokens = createApiTokens({ tokens: store.tokens, attempts: NO_ATTEMPTS, now: Date.now });
    await apiTokens.createAdministrator('administrator of the host', ON_THE_HOST, (token) =>
      replaceSecretFile(file, Buffer.from(`${token}\n`)),
    );
  } finally {
    await store.stop();
  }
  return file;
}

/** Nothing is authenticated here. */
const NO_ATTEMPTS = { slow: async () => undefined };
