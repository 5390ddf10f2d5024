// Releases of profiles: preparing one from the draft, with what is refused, and comparing them in words.
import { createHash } from 'node:crypto';
import { manifestText } from '../../shared/releases/manifest.ts';
import { auditEntry } from '../audit.ts';
import type { ParameterValues } from '../parameters/definitions.ts';
import type { ServerCredentials } from '../pki/server/slots.ts';
import { storeFault } from '../store/errors.ts';
import type { DraftFile, ProfileRecord, ReleaseRecord, ReleaseStore } from '../store/releases/release-store.ts';
import { BlobIntake } from './contents/blobs.ts';
import type { Conf } from './contents/conf.ts';
import { differences, type Difference, type ProfileContent } from './diff.ts';
import { profileFault, settingsRefused } from './errors.ts';
import type { ActTerms } from './profiles.ts';
import type { Problem, ProfileReader, ProfileReport } from './report.ts';
import { verificationFault } from './verification.ts';

interface ProfileReleasesNeeds {
  readonly store: ReleaseStore;
  readonly reader: ProfileReader;
  readonly values: () => Pick<ParameterValues, 'websocket.enabled' | 'websocket.secure.enabled'>;
  /** What Central shows now. */
  readonly certificate: () => ServerCredentials | undefined;
  readonly now: () => number;
}

interface Prepared {
  /** Undefined in a dry run. */
  readonly release: ReleaseRecord | undefined;
  /** It was there before: the same files are the same release. */
  readonly isNew: boolean;
  readonly digest: string;
  /** Against the previous release. */
  readonly differences: readonly Difference[];
  /** What `force` overrode, or a dry run would refuse. */
  readonly overridden: readonly Problem[];
}

export class ProfileReleases {
  readonly #needs: ProfileReleasesNeeds;

  constructor(needs: ProfileReleasesNeeds) {
    this.#needs = needs;
  }

  /** The newest first. Errors: profile_unknown. */
  async list(name: string, page: { readonly before?: number; readonly limit: number }): Promise<ReleaseRecord[]> {
    await this.#profile(name);
    return await this.#needs.store.listReleases({ kind: 'profile', name, ...page });
  }

  /** By its digest or the beginning of it, with or without "NAME@". Errors: profile_release_unknown. */
  async find(name: string, reference: string): Promise<ReleaseRecord> {
    const prefix = reference.replace(/^[^@]*@/, '').toLowerCase();
    const found = /^[0-9a-f]{8,64}$/.test(prefix)
      ? await this.#needs.store.listReleases({ kind: 'profile', name, prefix, limit: 2 })
      : [];
    const [release] = found;
    if (release === undefined || found.length > 1)
      throw profileFault('profile_release_unknown', { name, found: reference.slice(0, 80) });
    return release;
  }

  /** The files of a release, out of its manifest. */
  async filesOf({ digest }: Pick<ReleaseRecord, 'digest'>): Promise<readonly DraftFile[]> {
    const { reader } = this.#needs;
    return await reader.inTurn(() => reader.filesOf(digest));
  }

  /**
   * In words. `from` and `to`: a release, or `draft`; without `from` the newest release. Errors: profile_unknown,
   * profile_release_unknown.
   */
  async diff(
    name: string,
    from: string | undefined,
    to: string,
  ): Promise<{
    readonly from: ReleaseRecord | 'draft' | undefined;
    readonly to: ReleaseRecord | 'draft';
    readonly differences: readonly Difference[];
  }> {
    await this.#profile(name);
    const { reader } = this.#needs;
    const place = async (text: string): Promise<ReleaseRecord | 'draft'> =>
      text === 'draft' ? text : await this.find(name, text);
    const [one, other] = [
      from === undefined ? (await this.list(name, { limit: 1 }))[0] : await place(from),
      await place(to),
    ];
    const content = async (at: ReleaseRecord | 'draft'): Promise<ProfileContent> =>
      at === 'draft' ? await this.#draft(name) : await reader.report(await reader.filesOf(at.digest));
    const found = await reader.inTurn(async () =>
      differences(one === undefined ? undefined : await content(one), await content(other)),
    );
    return { from: one, to: other, differences: found };
  }

  /**
   * Makes a release of the draft. The same files are the same release.
   * Errors: profile_unknown, profile_setting_invalid, truststore_does_not_verify, profile_transport_refused.
   */
  async prepare(name: string, { actor, force = false, dryRun = false }: ActTerms): Promise<Prepared> {
    const { store, now } = this.#needs;
    const profile = await this.#profile(name);
    const report = await this.#draft(name);
    const { conf } = report;
    if (conf === undefined) throw profileFault('profile_conf_missing', { name });
    if (conf.fault !== undefined) throw settingsRefused(name, conf.fault);
    const refusals = await this.#refusals(name, report, conf);
    const [refusal] = refusals;
    if (refusal !== undefined && !force && !dryRun) throw refusal;
    const overridden = refusals.map(({ code, message, hint }) => ({ code, detail: message, hint }));
    const text = Buffer.from(manifestText({ kind: 'profile', name: profile.name, files: [...report.files] }));
    const digest = createHash('sha256').update(text).digest('hex');
    const known = await store.release(digest);
    const [last] = await this.list(name, { limit: 1 });
    const changes = differences(
      last === undefined ? undefined : await this.#needs.reader.report(await this.filesOf(last)),
      report,
    );
    const outcome = { digest, differences: changes, overridden };
    if (known !== undefined || dryRun) return { ...outcome, release: known, isNew: false };
    await new BlobIntake(store, now).storeBytes(text);
    const release = {
      digest,
      kind: 'profile' as const,
      name: profile.name,
      bytes: profile.bytes,
      fileCount: report.files.length,
      preparedAt: now(),
      preparedBy: actor.who,
      comment: actor.comment ?? null,
      ticket: actor.ticket ?? null,
      signature: null,
    };
    const detail = { name: profile.name, digest, ...(force ? { forced: overridden.map(({ code }) => code) } : {}) };
    const blobs = report.files.map(({ sha256 }) => sha256);
    await store.addRelease(release, blobs, auditEntry(actor, 'profiles.prepare', detail, now()));
    return { ...outcome, release: await store.release(digest), isNew: true };
  }

  /** What `force` may override. */
  async #refusals(name: string, { truststore }: ProfileReport, { values }: Conf) {
    const accepted = this.#needs.values();
    const isSecure = values?.['central.websocket.secure'] !== false;
    const parameter = isSecure ? 'websocket.secure.enabled' : 'websocket.enabled';
    const refusals = accepted[parameter]
      ? []
      : [profileFault('profile_transport_refused', { name, transport: isSecure ? 'wss' : 'ws', parameter })];
    const certificate = this.#needs.certificate();
    // Over ws nothing is verified.
    if (!isSecure || certificate === undefined) return refusals;
    const found = await verificationFault(
      certificate,
      (truststore?.entries ?? []).map(({ der }) => der),
    );
    return found === undefined ? refusals : [...refusals, profileFault('truststore_does_not_verify', { name, found })];
  }

  async #profile(name: string): Promise<ProfileRecord> {
    const profile = await this.#needs.store.getProfile(name);
    if (profile === undefined) throw storeFault('profile_unknown', { name: name.slice(0, 64) });
    return profile;
  }

  async #draft(name: string): Promise<ProfileReport> {
    return await this.#needs.reader.report(await this.#needs.store.draftOf(name));
  }
}
