// The answers about profiles and their releases, member by member.
import type { TruststoreEntry } from '../../profiles/contents/truststore.ts';
import type { Difference } from '../../profiles/diff.ts';
import type { DraftOutcome } from '../../profiles/profiles.ts';
import type { ProfileFacts } from '../../profiles/report.ts';
import type { DraftFile, ProfileRecord, ReleaseRecord } from '../../store/releases/release-store.ts';
import { timeOf } from '../page.ts';

export function tagOf({ version }: Pick<ProfileRecord, 'version'>): string {
  return `"${version}"`;
}

export function profileJson(profile: ProfileRecord) {
  const { name, fileCount, bytes, createdAt, createdBy, changedAt, changedBy } = profile;
  return {
    name,
    etag: tagOf(profile),
    fileCount,
    bytes,
    createdAt: timeOf(createdAt),
    createdBy,
    changedAt: timeOf(changedAt),
    changedBy,
  };
}

export function certificateJson({ alias, subject, thumbprint, notAfter }: TruststoreEntry) {
  return { alias, subject, thumbprint, notAfter: timeOf(notAfter) };
}

/** What Central reads of the files. */
export function contentJson({ conf, truststore, problems }: ProfileFacts) {
  return {
    settingCount: conf?.settings.length ?? 0,
    unknownSettings: conf?.unknown.map(({ name, meant = null }) => ({ name, resembles: meant })) ?? [],
    truststore:
      truststore === undefined
        ? null
        : {
            path: conf?.truststore.path ?? null,
            format: truststore.format,
            hasDefaultPassword: truststore.hasDefaultPassword,
            certificates: truststore.entries.map(certificateJson),
          },
    problems: problems.map(({ code, detail, hint }) => ({ code, detail, hint })),
  };
}

export function differencesJson(differences: readonly Difference[]) {
  return differences.map(({ file, text }) => ({ file, text }));
}

export function outcomeJson({ dryRun, profile, report, differences }: DraftOutcome) {
  return {
    dryRun,
    profile: profile === undefined ? null : profileJson(profile),
    ...contentJson(report),
    changed: differencesJson(differences),
  };
}

export function fileJson({ path, size, sha256, executable }: DraftFile) {
  return { path, bytes: size, sha256, executable };
}

export function releaseName({ name, digest }: Pick<ReleaseRecord, 'digest' | 'name'>): string {
  return `${name}@${digest.slice(0, 8)}`;
}

export function releaseJson(release: ReleaseRecord) {
  const { digest, kind, name, fileCount, bytes, preparedAt, preparedBy, comment, ticket } = release;
  return {
    release: releaseName(release),
    digest,
    kind,
    profile: name,
    fileCount,
    bytes,
    preparedAt: timeOf(preparedAt),
    preparedBy,
    comment,
    ticket,
  };
}
