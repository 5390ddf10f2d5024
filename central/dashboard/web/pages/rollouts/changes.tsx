// What a rollout changes on its agents, in words: against the release that most of them ran before.
import type { JSX } from 'preact';
import { get } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import { bytes, plural } from '../../format.ts';
import { Card, Fault, SkeletonCard } from '../../parts/layout.tsx';
import { Facts, Foreign } from '../../parts/text.tsx';
import { T } from '../../strings.ts';
import type { Difference, Release, Rollout, RolloutAgent, SoftwareRelease } from './shapes.ts';

const { rollouts: R } = T;

interface ChangesProps {
  readonly rollout: Rollout;
  readonly agents: readonly RolloutAgent[] | undefined;
}

export function Changes({ rollout, agents }: ChangesProps): JSX.Element {
  return (
    <Card title={R.changes}>
      {agents === undefined ? (
        <SkeletonCard lines={3} />
      ) : rollout.kind === 'software' ? (
        <OfSoftware digest={rollout.release} />
      ) : (
        <OfProfile name={rollout.name} digest={rollout.release} before={beforeOf(agents)} />
      )}
    </Card>
  );
}

/** The release that most of the agents ran before; null where most had none. */
function beforeOf(agents: readonly RolloutAgent[]): string | null {
  const taken = agents.filter(({ wave }) => wave !== null);
  const groups = [...Map.groupBy(taken, ({ previousRelease }) => previousRelease)];
  return groups.toSorted(([, one], [, other]) => other.length - one.length)[0]?.[0] ?? null;
}

interface OfProfileProps {
  readonly name: string;
  readonly digest: string;
  readonly before: string | null;
}

function OfProfile({ name, digest, before }: OfProfileProps): JSX.Element {
  const path = `/profiles/${encodeURIComponent(name)}`;
  const { data, problem } = useLoaded(`${path} ${digest} ${before ?? ''}`, async (signal) => {
    const release = (await get<Release>(`${path}/releases/${digest}`, {}, signal)).data;
    if (before === null || before === digest) return { release, changed: null };
    const { data: difference } = await get<Difference>(`${path}/diff`, { from: before, to: digest }, signal);
    return { release, changed: difference.changed };
  });
  if (data === undefined)
    return problem === undefined ? (
      <SkeletonCard lines={3} />
    ) : (
      <div class="body">
        <Fault problem={problem} />
      </div>
    );
  const { release, changed } = data;
  return (
    <div class="body stack">
      {changed === null ? (
        <p class="t2">{before === null ? R.firstRelease : R.sameFiles}</p>
      ) : (
        <ChangeList changed={changed} />
      )}
      {before !== null && <p class="muted">{R.from(before.slice(0, 8))}</p>}
      <Facts rows={[[R.facts.files, `${plural(release.fileCount, 'file')}, ${bytes(release.bytes)}`]]} />
    </div>
  );
}

const SHOWN = 100;

/** Differences in words, those of one file together. */
export function ChangeList({ changed }: { readonly changed: Difference['changed'] }): JSX.Element {
  if (changed.length === 0) return <p class="t2">{R.sameFiles}</p>;
  return (
    <ul class="changes">
      {changed.slice(0, SHOWN).map(({ file, text }, i) => (
        <li key={i}>
          <Foreign text={text} />
          <span class="d2">
            <Foreign text={file} />
          </span>
        </li>
      ))}
    </ul>
  );
}

function OfSoftware({ digest }: { readonly digest: string }): JSX.Element {
  const { data, problem } = useLoaded(
    `software ${digest}`,
    async (signal) => (await get<SoftwareRelease>(`/software-releases/${digest}`, {}, signal)).data,
  );
  if (data === undefined)
    return problem === undefined ? (
      <SkeletonCard lines={3} />
    ) : (
      <div class="body">
        <Fault problem={problem} />
      </div>
    );
  return (
    <div class="body">
      <Facts
        rows={[
          [R.facts.part, R.parts[data.part] ?? data.part],
          [R.facts.version, <Foreign text={`${data.version}${data.target === null ? '' : `, ${data.target}`}`} />],
          [R.facts.files, R.fileCount(data.fileCount, bytes(data.bytes))],
          [R.facts.signers, data.signers.length === 0 ? R.unsigned : R.signed(data.signers.length)],
        ]}
      />
    </div>
  );
}
