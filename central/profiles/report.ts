// Reads what Central has to know of the files of a profile: the settings of agent.conf, and the entries of the
// truststore that it names.
import { isCoded } from '../../shared/errors.ts';
import { Mutex } from '../../shared/mutex.ts';
import { setNewest } from '../../shared/recent-entries.ts';
import { parseManifest } from '../../shared/releases/manifest.ts';
import { parseProperties } from '../../shared/settings/properties.ts';
import type { DraftFile } from '../store/releases/release-store.ts';
import { readBlob, readSmallBlob } from './contents/blobs.ts';
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

/** So many truststores are kept as they were read: a profile has one, and content never changes under its hash. */
const KEPT_TRUSTSTORES = 4;
/** Manifests with their files: a comparison needs two. */
const KEPT_MANIFESTS = 4;

/** Reads profiles of one store. A truststore is expensive: one at a time, and once for all who need it. */
export class ProfileReader {
  readonly #contents: Contents;
  readonly #truststores = new Map<string, Promise<TruststoreContent>>();
  readonly #manifests = new Map<string, readonly DraftFile[]>();
  readonly #reading = new Mutex();
  readonly #profiles = new Mutex();

  constructor(contents: Contents) {
    this.#contents = contents;
  }

  /**
   * 10,000 files are some 50 ms of work and 5 MB: requests for profiles are answered one after the other. Not to be
   * nested.
   */
  async inTurn<T>(read: () => Promise<T>): Promise<T> {
    return await this.#profiles.runExclusive(read);
  }

  /** The files of a release, out of its manifest. */
  async filesOf(digest: string): Promise<readonly DraftFile[]> {
    let files = this.#manifests.get(digest);
    if (files === undefined) {
      const parts: Uint8Array[] = [];
      const size = (await this.#contents.blobSize(digest)) ?? 0;
      for await (const chunk of readBlob(this.#contents, { sha256: digest, size })) parts.push(chunk);
      ({ files } = parseManifest(Buffer.concat(parts).toString('utf8')));
    }
    setNewest(this.#manifests, digest, files, KEPT_MANIFESTS);
    return files;
  }

  /** What Central reads of these files; what it cannot read is among the problems. */
  async report(files: readonly DraftFile[]): Promise<ProfileReport> {
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
    const fileOf = (path: string): DraftFile | undefined => files.find((one) => one.path === path);
    const confFile = fileOf(CONF_PATH);
    const bytes = confFile === undefined ? undefined : await attempt(() => readSmallBlob(this.#contents, confFile));
    const conf = bytes === undefined ? undefined : await attempt(async () => readConf(bytes));
    if (conf?.fault !== undefined)
      problems.push({ code: conf.fault.code, detail: conf.fault.message, hint: conf.fault.hint });
    const path = conf?.truststore.path;
    const file = path === undefined ? undefined : fileOf(path);
    const truststore =
      file === undefined ? undefined : await attempt(() => this.#truststore(file, conf?.truststore.password));
    const secrets = new Map(
      bytes === undefined || conf === undefined
        ? []
        : parseProperties(bytes, CONF_PATH)
            .entries.filter(({ key }) => isSecretSetting(key))
            .map(({ key, value }) => [key, value] as const),
    );
    return { files, conf, truststore, secrets, problems };
  }

  /** Errors: profile_file_too_large, those of key stores. */
  #truststore(file: DraftFile, password: string | undefined): Promise<TruststoreContent> {
    const key = JSON.stringify([file.sha256, file.path, password ?? null]);
    const known = this.#truststores.get(key);
    const content =
      known ??
      this.#reading.runExclusive(async () =>
        readTruststore({ path: file.path, bytes: await readSmallBlob(this.#contents, file), password }),
      );
    setNewest(this.#truststores, key, content, KEPT_TRUSTSTORES);
    // That a file cannot be read stays true, unlike what a store away from its disk says.
    if (known === undefined)
      content.catch((error: unknown) => (isCoded(error) && error.status === 422) || this.#truststores.delete(key));
    return content;
  }
}
