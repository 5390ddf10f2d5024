// Profiles as administrators work with them: importing a directory, editing the draft. Each act is one change of the
// draft in the store, with its audit entry; nothing reaches an agent before a release of it is rolled out.
import { assertFiles, MAX_FILES, MAX_RELEASE_BYTES, pathFault } from '../../shared/releases/manifest.ts';
import { releaseFault } from '../../shared/releases/errors.ts';
import { isCoded, type CodedError } from '../../shared/errors.ts';
import { editProperties } from '../../shared/settings/properties.ts';
import { auditEntry, type Actor, type AuditAction } from '../audit.ts';
import type { AuditEntry } from '../store/audit-store.ts';
import { storeFault } from '../store/errors.ts';
import type { DraftChange, DraftFile, ProfileRecord, ReleaseStore } from '../store/releases/release-store.ts';
import { BlobIntake, readBlob, readSmallBlob, withIntake } from './contents/blobs.ts';
import { CONF_PATH, isKnownSetting, LOCAL_CONF_PATH, readConf } from './contents/conf.ts';
import { readTar } from './contents/tar.ts';
import { addToTruststore, deleteFromTruststore } from './contents/truststore.ts';
import { differences, type Difference } from './diff.ts';
import { profileFault, settingsRefused } from './errors.ts';
import type { ProfileFacts, ProfileReader, ProfileReport } from './report.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const DEFAULT_TRUSTSTORE_PATH = 'conf/security/truststore.jks';

interface ProfilesNeeds {
  readonly store: ReleaseStore;
  readonly reader: ProfileReader;
  /** What agents should trust (DER). */
  readonly trustBundle: () => readonly Buffer[];
  readonly now: () => number;
}

/** How an act is done. */
export interface ActTerms {
  readonly actor: Actor;
  readonly dryRun?: boolean | undefined;
  readonly force?: boolean | undefined;
}

/** Of the draft that a change was made from; undefined: whatever it is now. */
export interface Guarded extends ActTerms {
  readonly ifMatch?: number | undefined;
}

export interface DraftOutcome {
  /** Nothing was changed. */
  readonly dryRun: boolean;
  /** Undefined in a dry run of an import. */
  readonly profile: ProfileRecord | undefined;
  readonly report: ProfileReport;
  readonly differences: readonly Difference[];
}

export class Profiles {
  readonly #needs: ProfilesNeeds;

  constructor(needs: ProfilesNeeds) {
    this.#needs = needs;
  }

  list(page: { readonly after?: string; readonly limit: number }): Promise<ProfileRecord[]> {
    return this.#needs.store.listProfiles(page);
  }

  /** Errors: profile_unknown. */
  async get(name: string): Promise<ProfileRecord> {
    const profile = await this.#needs.store.getProfile(name);
    if (profile === undefined) throw storeFault('profile_unknown', { name: name.slice(0, 64) });
    return profile;
  }

  /** In order of path; `after` is the last path of the page before. Errors: profile_unknown. */
  async files(name: string, page: { readonly after?: string; readonly limit: number }): Promise<DraftFile[]> {
    await this.get(name);
    return await this.#needs.store.listDraft(name, page);
  }

  /** The content of a file as a stream. Errors: profile_unknown, profile_file_unknown. */
  async read(
    name: string,
    path: string,
  ): Promise<{ readonly file: DraftFile; readonly content: AsyncGenerator<Uint8Array> }> {
    await this.get(name);
    const file = await this.#needs.store.draftFile(name, path);
    if (file === undefined) throw profileFault('profile_file_unknown', { name, path: path.slice(0, 240) });
    return { file, content: readBlob(this.#needs.store, file) };
  }

  /** What Central reads of the draft, without its files. Errors: profile_unknown. */
  async facts(name: string): Promise<ProfileFacts> {
    await this.get(name);
    return await this.#needs.reader.facts((path) => this.#needs.store.draftFile(name, path));
  }

  /** The draft with what Central reads of it. Errors: profile_unknown. */
  async report(name: string): Promise<ProfileReport> {
    await this.get(name);
    const { reader, store } = this.#needs;
    return await reader.inTurn(async () => await reader.report(await store.draftOf(name)));
  }

  /**
   * Makes a profile of a tar archive, or with `replace` replaces the files of one. agent.local.conf is left out.
   * Errors: profile_name_invalid, profile_exists, archive_invalid, release_path_invalid, release_too_large,
   * profile_conf_missing.
   */
  async import(
    name: string,
    archive: AsyncIterable<Buffer>,
    { replace, ...terms }: ActTerms & { readonly replace: boolean },
  ): Promise<DraftOutcome & { readonly leftOut: readonly string[] }> {
    if (!NAME.test(name)) throw profileFault('profile_name_invalid', { found: JSON.stringify(name.slice(0, 80)) });
    const present = await this.#needs.store.getProfile(name);
    if (present !== undefined && !replace) throw storeFault('profile_exists', { name: present.name });
    return await this.#storing(async (intake) => {
      const [files, leftOut] = await storeArchive(archive, intake);
      if (!files.some(({ path }) => path === CONF_PATH)) throw profileFault('profile_conf_missing', { name });
      const before = present === undefined ? undefined : await this.report(name);
      const change = {
        name: present?.name ?? name,
        expectedVersion: present?.version ?? null,
        remove: 'all' as const,
        put: files,
      };
      const detail = { fileCount: files.length };
      return { ...(await this.#change('profiles.import', change, { before, after: files, terms }, detail)), leftOut };
    });
  }

  /** Errors: profile_unknown, version_conflict, profile_setting_unknown, profile_setting_invalid. */
  async set(name: string, settings: ReadonlyMap<string, string | null>, terms: Guarded): Promise<DraftOutcome> {
    const before = await this.report(name);
    const file = this.#confOf(name, before);
    for (const [setting, value] of settings) {
      const isThere = before.conf?.settings.some((one) => one.name === setting) === true;
      if (value !== null && !isThere && !isKnownSetting(setting) && terms.force !== true)
        throw profileFault('profile_setting_unknown', { setting: setting.slice(0, 128), meant: '' });
    }
    const edited = editProperties(await readSmallBlob(this.#needs.store, file), settings);
    const fault = confFault(edited);
    if (fault !== undefined) throw settingsRefused(name, fault);
    const names = [...settings.keys()];
    return await this.#put(
      name,
      'profiles.set',
      { file: { ...file, bytes: edited }, before, terms },
      { settings: names },
    );
  }

  /** Errors: profile_unknown, release_path_invalid, release_too_large, version_conflict. */
  async putFile(
    name: string,
    path: string,
    {
      content,
      executable,
      ...terms
    }: Guarded & { readonly content: AsyncIterable<Buffer>; readonly executable: boolean },
  ): Promise<DraftOutcome> {
    const fault = path === LOCAL_CONF_PATH ? 'it belongs to the machine of the agent' : pathFault(path);
    if (fault !== undefined) throw releaseFault('release_path_invalid', { path: path.slice(0, 300), found: fault });
    const before = await this.report(name);
    return await this.#storing(async (intake) => {
      const file = { path, ...(await intake.store(content)), executable };
      return await this.#replace(name, 'profiles.files.put', { file, before, terms }, { path });
    });
  }

  /** Errors: profile_unknown, profile_file_unknown, version_conflict. */
  async deleteFile(name: string, path: string, terms: Guarded): Promise<DraftOutcome> {
    const before = await this.report(name);
    if (!before.files.some((file) => file.path === path))
      throw profileFault('profile_file_unknown', { name, path: path.slice(0, 240) });
    const after = before.files.filter((file) => file.path !== path);
    const change = { name, expectedVersion: await this.#version(name, terms), remove: [path], put: [] };
    return await this.#change('profiles.files.delete', change, { before, after, terms }, { path });
  }

  /** Adds certificates (DER); undefined: those of Central. Errors: profile_unknown, those of truststores. */
  async addTrusted(
    name: string,
    {
      certificates,
      alias,
      ...terms
    }: Guarded & { readonly certificates?: readonly Buffer[] | undefined; readonly alias?: string | undefined },
  ): Promise<DraftOutcome> {
    const before = await this.report(name);
    const store = await this.#truststoreOf(name, before);
    const bytes = await addToTruststore(store, {
      certificates: certificates ?? this.#needs.trustBundle(),
      alias: alias ?? (certificates === undefined ? 'queuegate-root' : undefined),
      origin: certificates === undefined ? 'the certificate of Central' : 'the certificate',
    });
    const detail = { source: certificates === undefined ? 'central' : 'file' };
    return await this.#put(
      name,
      'profiles.truststore.import',
      { file: { path: store.path, bytes, executable: false }, before, terms },
      detail,
    );
  }

  /** Errors: profile_unknown, those of truststores. */
  async deleteTrusted(name: string, alias: string, terms: Guarded): Promise<DraftOutcome> {
    const before = await this.report(name);
    const store = await this.#truststoreOf(name, before);
    const bytes = await deleteFromTruststore(store, alias);
    return await this.#put(
      name,
      'profiles.truststore.delete',
      { file: { path: store.path, bytes, executable: false }, before, terms },
      { alias },
    );
  }

  /** Errors: profile_unknown. */
  async remove(name: string, { actor }: ActTerms): Promise<void> {
    await this.#needs.store.removeProfile(name, this.#entry(actor, 'profiles.delete', { name }));
  }

  /** What an act has stored goes at once when it is refused, or was only tried. */
  #storing<T extends DraftOutcome>(act: (intake: BlobIntake) => Promise<T>): Promise<T> {
    const { store, now } = this.#needs;
    return withIntake(new BlobIntake(store, now), act, ({ dryRun }) => dryRun);
  }

  async #put(
    name: string,
    action: AuditAction,
    {
      file,
      before,
      terms,
    }: {
      readonly file: { readonly path: string; readonly bytes: Buffer; readonly executable: boolean };
      readonly before: ProfileReport;
      readonly terms: Guarded;
    },
    detail: Readonly<Record<string, unknown>>,
  ): Promise<DraftOutcome> {
    const { path, bytes, executable } = file;
    return await this.#storing(async (intake) => {
      const stored = await intake.storeBytes(bytes);
      return await this.#replace(name, action, { file: { path, executable, ...stored }, before, terms }, detail);
    });
  }

  async #replace(
    name: string,
    action: AuditAction,
    { file, before, terms }: { readonly file: DraftFile; readonly before: ProfileReport; readonly terms: Guarded },
    detail: Readonly<Record<string, unknown>>,
  ): Promise<DraftOutcome> {
    const after = [...before.files.filter(({ path }) => path !== file.path), file];
    assertFiles(after);
    const change = { name, expectedVersion: await this.#version(name, terms), remove: [], put: [file] };
    return await this.#change(action, change, { before, after, terms }, detail);
  }

  async #version(name: string, { ifMatch }: Guarded): Promise<number> {
    return ifMatch ?? (await this.get(name)).version;
  }

  async #change(
    action: AuditAction,
    change: Omit<DraftChange, 'by' | 'now'>,
    {
      before,
      after,
      terms,
    }: { readonly before: ProfileReport | undefined; readonly after: readonly DraftFile[]; readonly terms: ActTerms },
    detail: Readonly<Record<string, unknown>>,
  ): Promise<DraftOutcome> {
    const { store, now } = this.#needs;
    const report = await this.#needs.reader.report(after);
    const outcome = { dryRun: terms.dryRun === true, report, differences: differences(before, report) };
    if (outcome.dryRun) {
      const present = await store.getProfile(change.name);
      if (change.expectedVersion !== null && present?.version !== change.expectedVersion)
        throw storeFault('version_conflict', {
          subject: `the profile ${change.name}`,
          found: present?.version ?? 0,
          expected: change.expectedVersion,
        });
      return { ...outcome, profile: present };
    }
    const entry = this.#entry(terms.actor, action, { name: change.name, ...detail });
    return { ...outcome, profile: await store.changeDraft({ ...change, by: terms.actor.who, now: now() }, entry) };
  }

  /** Errors: profile_conf_missing. */
  #confOf(name: string, { files }: ProfileReport): DraftFile {
    const file = files.find(({ path }) => path === CONF_PATH);
    if (file === undefined) throw profileFault('profile_conf_missing', { name });
    return file;
  }

  /** Errors: profile_truststore_outside. */
  async #truststoreOf(name: string, { files, conf }: ProfileReport) {
    const path = conf === undefined ? DEFAULT_TRUSTSTORE_PATH : conf.truststore.path;
    if (path === undefined)
      throw profileFault('profile_truststore_outside', { name, found: conf?.truststore.named ?? '' });
    const file = files.find((one) => one.path === path);
    const bytes = file === undefined ? undefined : await readSmallBlob(this.#needs.store, file);
    return { path, bytes, password: conf?.truststore.password };
  }

  #entry(actor: Actor, action: AuditAction, detail: Readonly<Record<string, unknown>>): AuditEntry {
    return auditEntry(actor, action, detail, this.#needs.now());
  }
}

/** Why the agent would refuse this agent.conf; undefined: it would not. */
function confFault(bytes: Buffer): CodedError | undefined {
  try {
    return readConf(bytes).fault;
  } catch (error) {
    if (isCoded(error)) return error;
    throw error;
  }
}

/**
 * The files of an archive, and the paths of those that are left out. Errors: archive_invalid, release_path_invalid,
 * release_too_large.
 */
async function storeArchive(archive: AsyncIterable<Buffer>, intake: BlobIntake): Promise<[DraftFile[], string[]]> {
  const [files, leftOut]: [DraftFile[], string[]] = [[], []];
  let [count, bytes] = [0, 0];
  for await (const { path, size, executable, content } of readTar(archive)) {
    const fault = pathFault(path);
    if (fault !== undefined) throw releaseFault('release_path_invalid', { path: path.slice(0, 300), found: fault });
    if (path === LOCAL_CONF_PATH) {
      leftOut.push(path);
      continue;
    }
    if (count >= MAX_FILES)
      throw releaseFault('release_too_large', { found: `more than ${MAX_FILES} files`, allowed: `${MAX_FILES} files` });
    // By what the archive says, before any of it is stored.
    bytes += size;
    if (bytes > MAX_RELEASE_BYTES)
      throw releaseFault('release_too_large', {
        found: `more than ${MAX_RELEASE_BYTES} bytes`,
        allowed: `${MAX_RELEASE_BYTES} bytes`,
      });
    const index = count;
    count += 1;
    await intake.add(size, content, (stored) => (files[index] = { path, executable, ...stored }));
  }
  await intake.finish();
  assertFiles(files);
  return [files, leftOut];
}
