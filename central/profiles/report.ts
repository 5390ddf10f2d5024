// Reads what Central has to know of the files of a profile: the settings of agent.conf, and the entries of the
// truststore that it names.
import { isCoded } from '../../shared/errors.ts';
import { Mutex } from '../../shared/mutex.ts';
import { setNewest } from '../../shared/recent-entries.ts';
import { readManifest } from '../../shared/releases/manifest.ts';
import { parseProperties, PROPERTIES_ERRORS } from '../../shared/settings/properties.ts';
import type { DraftFile } from '../store/releases/release-store.ts';
import { readBlob, readSmallBlob } from './contents/blobs.ts';
import { CONF_PATH, isSecretSetting, readConf, type Conf } from './contents/conf.ts';
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

/** What Central reads of the files. */
export type ProfileFacts = Omit<ProfileReport, 'files'>;

type ConfFacts = Pick<ProfileContent, 'secrets'> & { readonly conf: Conf };

/** So many are kept as they were read: a profile has one of each, and content never changes under its hash. */
const KEPT_TRUSTSTORES = 4;
const KEPT_CONFS = 4;
/** Manifests with their files: a comparison needs two. */
const KEPT_MANIFESTS = 4;

/** Reads profiles of one store. What is expensive is read once for all who need it; one truststore at a time. */
export class ProfileReader {
  readonly #contents: Contents;
  readonly #truststores = new Map<string, Promise<TruststoreContent>>();
  readonly #confs = new Map<string, Promise<ConfFacts>>();
  readonly #manifests = new Map<string, Promise<readonly DraftFile[]>>();
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
    return await keptOr(this.#manifests, digest, KEPT_MANIFESTS, async () => {
      const parts: Uint8Array[] = [];
      const size = (await this.#contents.blobSize(digest)) ?? 0;
      for await (const chunk of readBlob(this.#contents, { sha256: digest, size })) parts.push(chunk);
      return (await readManifest(Buffer.concat(parts).toString('utf8'))).files;
    });
  }

  /** What Central reads of these files; what it cannot read is among the problems. */
  async report(files: readonly DraftFile[]): Promise<ProfileReport> {
    return { files, ...(await this.facts(async (path) => files.find((one) => one.path === path))) };
  }

  /** The same, where nothing else of the files is needed: it looks up two of them, however many there are. */
  async facts(fileOf: (path: string) => Promise<DraftFile | undefined>): Promise<ProfileFacts> {
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
    const confFile = await fileOf(CONF_PATH);
    const read = confFile === undefined ? undefined : await attempt(() => this.#conf(confFile));
    const { conf, secrets = new Map<string, string>() } = read ?? {};
    if (conf?.fault !== undefined)
      problems.push({ code: conf.fault.code, detail: conf.fault.message, hint: conf.fault.hint });
    const path = conf?.truststore.path;
    const file = path === undefined ? undefined : await fileOf(path);
    const truststore =
      file === undefined ? undefined : await attempt(() => this.#truststore(file, conf?.truststore.password));
    return { conf, truststore, secrets, problems };
  }

  /** Errors: profile_file_too_large, those of properties. */
  #conf(file: DraftFile): Promise<ConfFacts> {
    return keptOr(this.#confs, file.sha256, KEPT_CONFS, async () => {
      const bytes = await readSmallBlob(this.#contents, file);
      const secrets = parseProperties(bytes, CONF_PATH).entries.filter(({ key }) => isSecretSetting(key));
      return { conf: readConf(bytes), secrets: new Map(secrets.map(({ key, value }) => [key, value])) };
    });
  }

  /** Errors: profile_file_too_large, those of key stores. */
  #truststore(file: DraftFile, password: string | undefined): Promise<TruststoreContent> {
    const key = JSON.stringify([file.sha256, file.path, password ?? null]);
    return keptOr(this.#truststores, key, KEPT_TRUSTSTORES, () =>
      this.#reading.runExclusive(async () =>
        readTruststore({ path: file.path, bytes: await readSmallBlob(this.#contents, file), password }),
      ),
    );
  }
}

/** What was read of content: once for all who need it at the same time, and later as well. */
function keptOr<T>(kept: Map<string, Promise<T>>, key: string, most: number, read: () => Promise<T>): Promise<T> {
  const known = kept.get(key);
  const content = known ?? read();
  setNewest(kept, key, content, most);
  // That a file cannot be read stays true, unlike what a store away from its disk says.
  if (known === undefined) content.catch((error: unknown) => isLasting(error) || kept.delete(key));
  return content;
}

function isLasting(error: unknown): boolean {
  return isCoded(error) && (error.status === 422 || error.code in PROPERTIES_ERRORS);
}
