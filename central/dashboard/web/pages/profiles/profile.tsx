// One profile: its draft against the latest release, its releases, and its agents by release.
import type { JSX } from 'preact';
import { all, get } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import { isUnscoped } from '../../client/session.ts';
import type { Reason } from '../../client/types.ts';
import { absolute, bytes, date, number } from '../../format.ts';
import { Bar, Callout, Card, Failed, Head, SkeletonCard } from '../../parts/layout.tsx';
import { Command, Facts, Foreign, ForeignLine, Hint } from '../../parts/text.tsx';
import { Shell } from '../../shell/shell.tsx';
import { T } from '../../strings.ts';
import { ChangeList } from '../rollouts/changes.tsx';
import type { Difference, Profile, Release } from '../rollouts/shapes.ts';

const { rollouts: R } = T;

interface ProfileDetail extends Profile {
  readonly truststore: { readonly certificates: readonly unknown[] } | null;
  readonly problems: readonly Reason[];
  /** "branch@3f9c21ab". */
  readonly latestRelease: string | null;
  readonly agents: readonly {
    readonly release: string;
    readonly digest: string;
    readonly desiredCount: number;
    readonly reportedCount: number;
  }[];
}

export function ProfilePage({ name }: { readonly name: string }): JSX.Element {
  const path = `/profiles/${encodeURIComponent(name)}`;
  const detail = useLoaded(path, async (signal) => (await get<ProfileDetail>(path, {}, signal)).data, 15);
  const { data, problem, again } = detail;
  return (
    <Shell crumbs={[[R.profiles, '/profiles'], [name]]}>
      {data === undefined ? (
        <section class="card">
          <h1 class="sr">
            <Foreign text={name} />
          </h1>
          {problem === undefined ? <SkeletonCard /> : <Failed problem={problem} again={again} />}
        </section>
      ) : (
        <Known detail={data} />
      )}
    </Shell>
  );
}

function Known({ detail }: { readonly detail: ProfileDetail }): JSX.Element {
  const { truststore, problems, ...profile } = detail;
  const path = `/profiles/${encodeURIComponent(profile.name)}`;
  const releases = useLoaded(
    `${path}/releases`,
    async (signal) => await all<Release>(`${path}/releases`, {}, signal),
    15,
  );
  return (
    <>
      <Head
        title={<Foreign text={profile.name} />}
        sub={<Foreign text={R.fileCount(profile.fileCount, bytes(profile.bytes))} />}
      />
      <div class="stack">
        {problems.length > 0 && (
          <Callout meaning="bad" title={R.problems}>
            {problems.map(({ code, detail: text, hint }) => (
              <p key={`${code} ${text}`}>
                <Foreign text={text} /> {hint !== null && <Hint text={hint} />}
              </p>
            ))}
          </Callout>
        )}
        <div class="cols">
          <div class="stack">
            {isUnscoped() ? (
              <Draft path={path} changedAt={profile.changedAt} releases={releases.data} />
            ) : (
              <Card title={R.draft}>
                <p class="body t2">{R.scoped}</p>
              </Card>
            )}
            <Card title={R.releases}>
              {releases.data === undefined ? (
                releases.problem === undefined ? (
                  <SkeletonCard lines={3} />
                ) : (
                  <Failed problem={releases.problem} again={releases.again} />
                )
              ) : (
                <Releases releases={releases.data} />
              )}
            </Card>
          </div>
          <div class="stack">
            <Agents detail={detail} />
            <Card title={R.profileColumns.profile}>
              <div class="body">
                <Facts
                  rows={[
                    [R.facts.created, <Foreign text={R.byWhom(date(profile.createdAt), profile.createdBy)} />],
                    [R.facts.changed, <Foreign text={R.byWhom(date(profile.changedAt), profile.changedBy)} />],
                    [R.facts.truststore, truststore === null ? T.none : R.roots(truststore.certificates.length)],
                  ]}
                />
              </div>
            </Card>
            <Card title={R.fromShell}>
              <div class="body stack">
                <p class="t2">{R.shellText}</p>
                {R.shellLines(profile.name).map((line) => (
                  <Command key={line} text={line} />
                ))}
              </div>
            </Card>
          </div>
        </div>
      </div>
    </>
  );
}

interface DraftProps {
  readonly path: string;
  readonly changedAt: string;
  readonly releases: readonly Release[] | undefined;
}

function Draft({ path, changedAt, releases }: DraftProps): JSX.Element {
  const latest = releases?.[0]?.digest;
  const { data, problem, again } = useLoaded(`${path} ${changedAt} ${latest ?? ''}`, async (signal) =>
    latest === undefined ? null : (await get<Difference>(`${path}/diff`, {}, signal)).data.changed,
  );
  return (
    <Card title={R.draft}>
      {releases === undefined || data === undefined ? (
        problem === undefined ? (
          <SkeletonCard lines={2} />
        ) : (
          <Failed problem={problem} again={again} />
        )
      ) : (
        <div class="body">
          {data === null ? (
            <p class="t2">{R.draftFirst}</p>
          ) : data.length === 0 ? (
            <p class="t2">{R.draftSame}</p>
          ) : (
            <ChangeList changed={data} />
          )}
        </div>
      )}
    </Card>
  );
}

function Releases({ releases }: { readonly releases: readonly Release[] }): JSX.Element {
  if (releases.length === 0) return <p class="body t2">{R.noReleases}</p>;
  return (
    <div class="tw">
      <table class="cards">
        <caption class="sr">{R.releases}</caption>
        <thead>
          <tr>
            {[R.release, R.facts.files, R.prepared, R.facts.comment, R.facts.ticket].map((label) => (
              <th key={label} scope="col">
                {label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {releases.map(({ release, digest, fileCount, bytes: size, preparedAt, preparedBy, comment, ticket }) => (
            <tr key={digest}>
              <td>
                <code title={digest}>
                  <ForeignLine text={release} />
                </code>
              </td>
              <td class="right t2">{R.fileCount(fileCount, bytes(size))}</td>
              <td class="t2 wide" title={absolute(preparedAt)}>
                <ForeignLine text={R.byWhom(date(preparedAt), preparedBy)} />
              </td>
              <td class="t2 wide">
                <Foreign text={comment ?? ''} />
              </td>
              <td class="meta" data-l={R.facts.ticket}>
                <ForeignLine text={ticket ?? '–'} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Agents({ detail }: { readonly detail: ProfileDetail }): JSX.Element {
  const { desired, reported } = R.profileColumns;
  return (
    <Card title={R.byRelease}>
      {detail.agents.length === 0 ? (
        <p class="body t2">{R.noAgentsOfProfile}</p>
      ) : (
        <div class="body legend by-release">
          {detail.agents.map(({ release, digest, desiredCount, reportedCount }) => (
            <div key={digest} class="by-release-row">
              <code title={digest}>
                <ForeignLine text={release} />
              </code>
              <span class="muted">
                {desired} {number(desiredCount)}, {reported.toLowerCase()} {number(reportedCount)}
              </span>
              <Bar
                parts={[
                  { meaning: 'ok', count: Math.min(desiredCount, reportedCount), label: reported },
                  { meaning: 'none', count: Math.max(0, desiredCount - reportedCount), label: R.onOther },
                ]}
              />
            </div>
          ))}
        </div>
      )}
    </Card>
  );
}
