// One rollout: why it halted, how far each wave is, its agents by state, and what changes. The stream of changes brings
// its state and counts; its agents are read again behind them.
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { all, centralNow, get } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import { isUnscoped } from '../../client/session.ts';
import { onChange } from '../../client/watch.ts';
import { bytes, clock, date, duration } from '../../format.ts';
import { Card, Failed, Head, SkeletonCard } from '../../parts/layout.tsx';
import { Facts, Foreign } from '../../parts/text.tsx';
import { Shell } from '../../shell/shell.tsx';
import { T } from '../../strings.ts';
import { RolloutActs } from './acts.tsx';
import { RolloutAgents } from './agents.tsx';
import { Causes } from './causes.tsx';
import { Changes } from './changes.tsx';
import { useRollouts } from './kept.ts';
import { OtherRollouts, RolloutMark } from './marks.tsx';
import { isEnded, releaseText, type Rollout, type RolloutAgent } from './shapes.ts';
import { Waves } from './waves.tsx';

const { rollouts: R } = T;

/** Agents are read again so often at most, and less often where there are many. */
const AGAIN_MS = 2_000;
const MS_FOR_EACH = 2;

export function RolloutPage({ id }: { readonly id: string }): JSX.Element {
  const path = `/rollouts/${encodeURIComponent(id)}`;
  const { rollouts } = useRollouts();
  const loaded = useLoaded(path, async (signal) => (await get<Rollout>(path, {}, signal)).data, 15);
  // The newer one of the two: the answer of this page's own request, and what the stream brought.
  const streamed = rollouts.find((rollout) => rollout.id === id);
  const rollout = streamed ?? loaded.data;
  return (
    <Shell crumbs={[[R.title, '/rollouts'], [rollout?.id ?? id]]}>
      {rollout === undefined ? (
        <section class="card">
          <h1 class="sr">
            <Foreign text={id} />
          </h1>
          {loaded.problem === undefined ? <SkeletonCard /> : <Failed problem={loaded.problem} again={loaded.again} />}
        </section>
      ) : (
        <Known rollout={rollout} />
      )}
    </Shell>
  );
}

function useAgents(rollout: Rollout) {
  const path = `/rollouts/${rollout.id}/agents`;
  const loaded = useLoaded(
    path,
    async (signal) => await all<RolloutAgent>(path, {}, signal),
    isEnded(rollout) ? 0 : 30,
  );
  const { again } = loaded;
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(
    () =>
      onChange(({ noun, id }) => {
        if (noun !== 'rollout' || id !== rollout.id) return;
        timer.current ??= setTimeout(
          () => {
            timer.current = undefined;
            again();
          },
          Math.max(AGAIN_MS, rollout.counts.total * MS_FOR_EACH),
        );
      }),
    [rollout.id, rollout.counts.total, again],
  );
  useEffect(() => () => clearTimeout(timer.current), []);
  return loaded;
}

function Known({ rollout }: { readonly rollout: Rollout }): JSX.Element {
  const { state, counts, createdAt, createdBy, ticket, waves } = rollout;
  const agents = useAgents(rollout);
  const wave = waves.findIndex((one) => one.state === 'running' || one.state === 'soaking');
  return (
    <>
      <Head
        title={<Foreign text={R.heading(releaseText(rollout), counts.total)} />}
        sub={
          <>
            <RolloutMark state={state} />{' '}
            <span class="muted">
              {wave !== -1 && !isEnded(rollout) && `${R.inWave(wave + 1)} · `}
              <Foreign text={R.startedBy(createdBy, clock(createdAt, centralNow()))} />
              {ticket !== null && ticket !== '' && (
                <>
                  {' · '}
                  <Foreign text={ticket} />
                </>
              )}
            </span>
          </>
        }
      >
        <RolloutActs rollout={rollout} />
      </Head>
      <div class="stack">
        <Causes rollout={rollout} agents={agents.data ?? []} />
        <Waves rollout={rollout} agents={agents.data} />
        <div class="cols">
          {agents.data === undefined ? (
            <Card title={R.agents}>
              {agents.problem === undefined ? (
                <SkeletonCard />
              ) : (
                <Failed problem={agents.problem} again={agents.again} />
              )}
            </Card>
          ) : (
            <RolloutAgents rollout={rollout} agents={agents.data} />
          )}
          <div class="stack">
            {isUnscoped() && <Changes rollout={rollout} agents={agents.data} />}
            <Plan rollout={rollout} />
            <Card title={R.others} right={<a href="/rollouts">{T.all}</a>}>
              <div class="tw">
                <OtherRollouts except={rollout.id} />
              </div>
            </Card>
          </div>
        </div>
      </div>
    </>
  );
}

function Plan({ rollout }: { readonly rollout: Rollout }): JSX.Element {
  const { release, stage, agents, trialSeconds, bytesPerSecond, comment, ticket, scope, endedAt } = rollout;
  return (
    <Card title={R.planTitle} right={<span class="muted">{R.stages[stage] ?? stage}</span>}>
      <div class="body">
        <Facts
          rows={[
            [R.facts.digest, <code title={release}>{release.slice(0, 16)} …</code>],
            [R.facts.selection, <Foreign text={agents.join(', ')} />],
            ...(scope === null ? [] : [[R.facts.scope, <Foreign text={scope} />] as const]),
            [R.facts.trial, duration(trialSeconds * 1000)],
            [R.facts.rate, bytesPerSecond === 0 ? R.anyRate : `${bytes(bytesPerSecond)}/s`],
            [R.facts.comment, comment === null || comment === '' ? T.none : <Foreign text={comment} />],
            [R.facts.ticket, ticket === null || ticket === '' ? T.none : <Foreign text={ticket} />],
            ...(endedAt === null ? [] : [[R.states['completed'] ?? '', date(endedAt)] as const]),
          ]}
        />
      </div>
    </Card>
  );
}
