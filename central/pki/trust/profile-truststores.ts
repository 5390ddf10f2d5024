// Keeps the truststores of the profiles on Central's own host in step with the trust bundle: one that holds a root of
// this Central gets the others too, and loses those that are no longer trusted. Profiles of other Centrals, and those
// without a truststore, are never touched. Agents keep what Central gives them in their data folder, and write no
// profile.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isCoded, systemCode, textOf } from '../../../shared/errors.ts';
import { Mutex } from '../../../shared/mutex.ts';
import { splitJvmArgs } from '../../../shared/settings/jvm-args.ts';
import { profileTruststore, type ProfileTruststore } from '../../../shared/settings/profile-truststore.ts';
import { readPropertiesFile } from '../../../shared/settings/properties.ts';
import { fingerprintOf, updateTrusted } from '../../../shared/truststore/update.ts';
import { openFile, readStoreFile } from '../../../shared/truststore/write.ts';
import type { TrustBundle } from './trust-bundle.ts';
import type { Authority } from '../authority/authority.ts';
import { thumbprintOf } from '../x509/certificate.ts';
import { rootOf } from '../authority/generations.ts';

interface ProfileTruststoresOptions {
  /** Holds the profiles, one folder each; it may be missing. */
  readonly folder: string;
  readonly bundle: Pick<TrustBundle, 'certificates' | 'thumbprints'>;
  readonly authority: Pick<Authority, 'all'>;
  readonly log: { info(facts: object, text: string): void; warn(facts: object, text: string): void };
}

/** A profile whose truststore could not be updated. */
export interface ProfileFault {
  readonly profile: string;
  readonly file: string;
  readonly code: string;
  /** What happened and the hint. */
  readonly text: string;
}

const HINT = 'Correct the file, or take the profile out of the folder of profiles.';

export class ProfileTruststores {
  readonly #options: ProfileTruststoresOptions;
  #faults: readonly ProfileFault[] = [];
  readonly #runs = new Mutex();

  constructor(options: ProfileTruststoresOptions) {
    this.#options = options;
  }

  /** Of the last time. */
  faults(): readonly ProfileFault[] {
    return this.#faults;
  }

  /** Updates every profile, one run after the other; never rejects. */
  async follow(): Promise<void> {
    await this.#runs.runExclusive(() => this.#follow());
  }

  async #follow(): Promise<void> {
    const { log } = this.#options;
    const faults: ProfileFault[] = [];
    for (const profile of await this.#profiles()) {
      let file = join(this.#options.folder, profile);
      try {
        const truststore = await truststoreOf(file);
        if (truststore === undefined) continue;
        file = truststore.path;
        await this.#update(profile, truststore);
      } catch (error) {
        const [code, text] = isCoded(error)
          ? [error.code, `${error.message} ${error.hint}`]
          : ['internal', textOf(error)];
        faults.push({ profile, file, code, text });
        if (!this.#faults.some((known) => known.profile === profile && known.code === code))
          log.warn({ profile, file, code }, `the truststore of a profile could not be updated: ${text}`);
      }
    }
    this.#faults = faults;
  }

  async #profiles(): Promise<string[]> {
    try {
      const entries = await readdir(this.#options.folder, { withFileTypes: true });
      return entries
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name)
        .toSorted();
    } catch (error) {
      if (systemCode(error) !== 'ENOENT')
        this.#options.log.warn(
          { folder: this.#options.folder, error: textOf(error) },
          'the folder of profiles cannot be read',
        );
      return [];
    }
  }

  async #update(profile: string, { path: file, password, passwordHint }: ProfileTruststore): Promise<void> {
    const { bundle, authority, log } = this.#options;
    if ((await readStoreFile(file, 'ignore')) === undefined) return;
    const { store } = await openFile(file, password, passwordHint);
    const there = new Set(
      store.entries
        .filter(({ kind }) => kind === 'trusted')
        .flatMap(({ certificates }) => certificates.map((der) => fingerprintOf(der))),
    );
    const named = bundle.thumbprints();
    const own = authority.all().map((generation) => thumbprintOf(rootOf(generation)));
    if (![...named, ...own].some((thumbprint) => there.has(thumbprint))) return;
    const remove = new Set(own.filter((thumbprint) => !named.includes(thumbprint)));
    const { added, removed } = await updateTrusted({
      file,
      password,
      passwordHint,
      add: bundle.certificates().map(({ raw }) => raw),
      remove,
    });
    if (added.length > 0 || removed.length > 0)
      log.info({ profile, file, added: added.length, removed: removed.length }, 'the truststore of a profile follows');
  }
}

/** Undefined: the folder is not a profile. */
async function truststoreOf(folder: string): Promise<ProfileTruststore | undefined> {
  const [field, local] = await Promise.all(
    ['agent.conf', 'agent.local.conf'].map((name) => readPropertiesFile(join(folder, 'conf', name), 'ignore', HINT)),
  );
  if (field === undefined) return undefined;
  // The local file overrides agent.conf; in each file the last of several lines counts.
  const value = (name: string): string =>
    [...field.entries, ...(local?.entries ?? [])].findLast(({ key }) => key === name)?.value ?? '';
  return profileTruststore({
    folder,
    truststore: value('truststore'),
    password: value('truststore.password'),
    jvmArgs: splitJvmArgs(value('jetty.jvm.args')),
  });
}
