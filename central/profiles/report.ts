// Reads what Central has to know of the files of a profile: the settings of agent.conf, and the entries of the truststore that it names.
import { isCoded } from '../../shared/errors.ts';
import { parseProperties } from '../../shared/settings/properties.ts';
import type { DraftFile } from '../store/releases/release-store.ts';
import { readSmallBlob } from './contents/blobs.ts';
import { CONF_PATH, isSecretSetting, readConf } from './contents/conf.ts';
import { readTruststore, type TruststoreContent } from './contents/truststore.ts';
import type { ProfileContent } from './diff.ts';

type Contents = Parameters<typeof readSmallBlob>[0];

export interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly hint: string;
}

/** What a profile is, as far as Central reads it. */
export interface ProfileReport extends ProfileContent {
  readonly problems: readonly Problem[];
}

/** What Central reads of these files; what it cannot read is among the problems. */
export async function reportOf(store: Contents, files: readonly DraftFile[]): Promise<ProfileReport> {
  const problems: Problem[] = [];
  const attempt = async <T>(read: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await read();
    } catch (error) {
      if (!isCoded(error)) throw error;
      problems.push({ code: error.code, detail: error.message, hint: error.hint });
      return undefined;
    }
  };
  const bytesOf = async (path: string): Promise<Buffer | undefined> => {
    const file = files.find((one) => one.path === path);
    return file === undefined ? undefined : await readSmallBlob(store, file);
  };
  const bytes = await attempt(() => bytesOf(CONF_PATH));
  const conf = bytes === undefined ? undefined : await attempt(async () => readConf(bytes));
  if (conf?.fault !== undefined)
    problems.push({ code: conf.fault.code, detail: conf.fault.message, hint: conf.fault.hint });
  const path = conf?.truststore.path;
  const truststore = await attempt(async (): Promise<TruststoreContent | undefined> => {
    const content = path === undefined ? undefined : await bytesOf(path);
    return path === undefined || content === undefined
      ? undefined
      : await readTruststore({ path, bytes: content, password: conf?.truststore.password });
  });
  const secrets = new Map(
    bytes === undefined || conf === undefined
      ? []
      : parseProperties(bytes, CONF_PATH)
          .entries.filter(({ key }) => isSecretSetting(key))
          .map(({ key, value }) => [key, value] as const),
  );
  return { files, conf, truststore, secrets, problems };
}
