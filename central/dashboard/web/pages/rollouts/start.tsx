// Starts a rollout: release, agents, waves and thresholds; what it would do at once is shown before it starts.
import type { JSX } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { all, send, type Terms } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import type { Report } from '../../client/types.ts';
import { date, percent, visible } from '../../format.ts';
import { Field, Select } from '../../parts/controls.tsx';
import { Callout, Fault } from '../../parts/layout.tsx';
import { PreflightDialog } from '../../parts/preflight.tsx';
import { go } from '../../router.ts';
import { T } from '../../strings.ts';
import type { Profile, Release, Rollout, SoftwareRelease } from './shapes.ts';

const { rollouts: R } = T;

interface StartDialogProps {
  readonly close: () => void;
  /** One that synchronized the release: it goes on with the same agents. */
  readonly from?: Rollout;
  /** The release that is chosen first, such as "branch@3f9c21ab". */
  readonly release?: string;
}

interface Choice {
  readonly kind: 'profile' | 'software';
  readonly release: string;
  readonly text: string;
}

const PER_PROFILE = 20;

/** The newest releases of each profile, and of the software. */
async function readChoices(signal: AbortSignal): Promise<readonly Choice[]> {
  const profiles = await all<Profile>('/profiles', {}, signal);
  const found: Choice[] = [];
  for (const { name } of profiles) {
    const releases = await all<Release>(`/profiles/${encodeURIComponent(name)}/releases`, {}, signal);
    for (const { release, preparedAt } of releases.slice(0, PER_PROFILE))
      found.push({ kind: 'profile', release, text: `${visible(release)}, ${date(preparedAt)}` });
  }
  for (const { release, preparedAt } of await all<SoftwareRelease>('/software-releases', {}, signal))
    found.push({ kind: 'software', release, text: `${visible(release)}, ${date(preparedAt)}` });
  return found;
}

/** "1, 10%, 100%" as REST takes it; null: not such a list. */
export function wavesOf(text: string): ({ readonly count: number } | { readonly share: number })[] | null {
  const found = text.split(',').map((part) => {
    const [, amount = '', unit] = /^\s*(\d+(?:\.\d+)?)\s*(%?)\s*$/.exec(part) ?? [];
    if (amount === '') return null;
    return unit === '%' ? { share: Number(amount) / 100 } : { count: Number(amount) };
  });
  const waves = found.filter((wave) => wave !== null);
  return waves.length === found.length ? waves : null;
}

interface Plan {
  readonly agents: string;
  readonly stage: string;
  readonly waves: string;
  readonly success: string;
  readonly error: string;
  readonly soak: string;
  readonly trial: string;
}

const FIRST_PLAN: Plan = {
  agents: 'all',
  stage: 'upgrade',
  waves: '1, 10%, 100%',
  success: '95',
  error: '5',
  soak: '15',
  trial: '300',
};

/** Null: something is missing, or not a number. */
function bodyOf(plan: Plan, choice: Choice | undefined, from: Rollout | undefined): object | null {
  const waves = wavesOf(plan.waves);
  const numbers = [plan.success, plan.error, plan.soak, plan.trial].map((text) => Number(text.replace(',', '.')));
  const [success = 0, error = 0, soak = 0, trial = 0] = numbers;
  const isWrong = [plan.success, plan.error, plan.soak, plan.trial].some((text) => text.trim() === '');
  if (waves === null || isWrong || numbers.some((one) => Number.isNaN(one))) return null;
  const selectors = plan.agents
    .split(/[;\n]/)
    .map((one) => one.trim())
    .filter((one) => one !== '');
  if (from === undefined && (choice === undefined || selectors.length === 0)) return null;
  return {
    kind: from?.kind ?? choice?.kind,
    release: from?.release ?? choice?.release,
    stage: from === undefined ? plan.stage : 'upgrade',
    ...(from === undefined ? { agents: selectors } : { rollout: from.id }),
    waves,
    successShare: success / 100,
    errorShare: error / 100,
    soakSeconds: Math.round(soak * 60),
    trialSeconds: Math.round(trial),
  };
}

export function StartDialog({ close, from, release }: StartDialogProps): JSX.Element {
  const choices = useLoaded('releases', async (signal) => (from === undefined ? await readChoices(signal) : []));
  const [chosen, choose] = useState(release ?? '');
  const [plan, setPlan] = useState(FIRST_PLAN);
  const key = useRef(crypto.randomUUID());
  const choice = choices.data?.find((one) => one.release === chosen) ?? choices.data?.[0];
  const set = (member: keyof Plan) => (value: string) => setPlan({ ...plan, [member]: value });
  const body = bodyOf(plan, choice, from);
  const begun = useRef('');
  const check = async (terms: Terms): Promise<Report<Rollout>> =>
    (await send<Report<Rollout>>('POST', '/rollouts', { body, query: terms })).data;
  const apply = async ({ comment, ticket }: Terms): Promise<void> => {
    const query = { comment, ticket } as Terms;
    const { data } = await send<Rollout>('POST', '/rollouts', { body, query, idempotencyKey: key.current });
    begun.current = data.id;
  };
  const isNothing = choices.data?.length === 0 && from === undefined;
  return (
    <PreflightDialog
      title={from === undefined ? R.startTitle : R.upgradeTitle(from.id)}
      act={R.start}
      inputs={body === null || isNothing ? null : JSON.stringify(body)}
      check={check}
      apply={apply}
      effects={({ result }) => <Plans rollout={result} />}
      doneText={R.started}
      close={close}
      done={() => go(`/rollouts/${begun.current}`)}
    >
      {choices.problem !== undefined && <Fault problem={choices.problem} />}
      {isNothing && <Callout meaning="warn" title={R.noReleaseYet} />}
      {from === undefined && (
        <>
          <div class="frow">
            <Select
              label={R.columns.release}
              value={choice?.release ?? ''}
              options={(choices.data ?? []).map((one) => [one.release, one.text])}
              onChange={choose}
            />
            <Select label={R.facts.stage} value={plan.stage} options={R.stageOptions} onChange={set('stage')} />
          </div>
          <Field
            label={R.selection}
            hint={R.selectionHint}
            value={plan.agents}
            maxLength={4_000}
            onInput={set('agents')}
          />
        </>
      )}
      <div class="frow">
        <Field label={R.waves} hint={R.wavesHint} value={plan.waves} maxLength={200} onInput={set('waves')} />
        <Field label={R.soakMinutes} value={plan.soak} maxLength={8} onInput={set('soak')} />
      </div>
      <div class="frow three">
        <Field label={R.successPercent} value={plan.success} maxLength={5} onInput={set('success')} />
        <Field label={R.errorPercent} value={plan.error} maxLength={5} onInput={set('error')} />
        <Field label={R.trialSeconds} value={plan.trial} maxLength={6} onInput={set('trial')} />
      </div>
      {body === null && !isNothing && choices.data !== undefined && (
        <p class="fault" role="alert">
          <span>{R.planIncomplete}</span>
        </p>
      )}
    </PreflightDialog>
  );
}

function Plans({ rollout }: { readonly rollout: Rollout }): JSX.Element {
  const { counts, waves } = rollout;
  const sizes = waves.map(({ agentCount, share }, i) => {
    const size = (agentCount ?? 0) - (waves[i - 1]?.agentCount ?? 0);
    return R.planned(i + 1, size, share === null ? '' : percent(share));
  });
  return (
    <Callout meaning="info" title={R.wouldTake(counts.total, counts.eligible)}>
      <p>{sizes.join('; ')}.</p>
      {counts.skipped > 0 && <p>{R.wouldSkip(counts.skipped)}</p>}
      <p>{R.returnsAlone}</p>
    </Callout>
  );
}
