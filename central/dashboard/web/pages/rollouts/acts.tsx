// What administrators decide about a rollout: pause, resume, cancel, retry, roll back, and to upgrade where files were
// synchronized. What an act would do Central says, and once more when it is confirmed.
import type { JSX } from 'preact';
import { get, send, type Terms } from '../../client/api.ts';
import { may } from '../../client/session.ts';
import type { Report } from '../../client/types.ts';
import { Button } from '../../parts/controls.tsx';
import { openDialog } from '../../parts/dialog.tsx';
import { Callout } from '../../parts/layout.tsx';
import { PreflightDialog, type Checked } from '../../parts/preflight.tsx';
import { T } from '../../strings.ts';
import { countsOf, isEnded, releaseText, type Rollout } from './shapes.ts';
import { StartDialog } from './start.tsx';

const { rollouts: R } = T;

type Verb = 'pause' | 'resume' | 'cancel' | 'retry' | 'rollback';

/** The agents that an act is about; with the rollout as it would be after it: those that it moves. */
function countFor(verb: Verb, rollout: Rollout, after?: Rollout): number {
  const counts = countsOf(rollout);
  const left =
    after === undefined || verb === 'pause' || verb === 'resume' ? new Map<string, number>() : countsOf(after);
  const sum = (...states: readonly string[]): number =>
    states.reduce((all, state) => all + Math.max(0, (counts.get(state) ?? 0) - (left.get(state) ?? 0)), 0);
  switch (verb) {
    case 'pause':
    case 'resume':
      return sum('waiting');
    case 'cancel':
      return sum('waiting', 'offered', 'synchronizing', ...(rollout.stage === 'upgrade' ? ['synchronized'] : []));
    case 'retry':
      return sum('failed', 'rolled-back', 'timed-out', 'skipped');
    case 'rollback':
      return sum('succeeded', 'trying');
  }
}

const STATES: Readonly<Record<Verb, readonly string[]>> = {
  pause: ['running'],
  resume: ['paused', 'halted'],
  cancel: ['running', 'paused', 'halted', 'rolling-back'],
  retry: ['running', 'paused', 'halted', 'completed'],
  rollback: ['running', 'paused', 'halted', 'completed', 'canceled'],
};

function isOffered(verb: Verb, rollout: Rollout): boolean {
  if (!may(verb === 'pause' ? 'operator' : 'administrator')) return false;
  if (!STATES[verb].includes(rollout.state)) return false;
  if (verb === 'rollback' && rollout.stage !== 'upgrade') return false;
  return verb === 'retry' || verb === 'rollback' ? countFor(verb, rollout) > 0 : true;
}

interface RolloutActsProps {
  readonly rollout: Rollout;
}

export function RolloutActs({ rollout }: RolloutActsProps): JSX.Element {
  const retries = countFor('retry', rollout);
  const open = (verb: Verb) => (): void =>
    openDialog((close) => <ActDialog verb={verb} rollout={rollout} close={close} />);
  const canRetry = isOffered('retry', rollout);
  return (
    <>
      {isOffered('rollback', rollout) && (
        <Button icon="undo" onClick={open('rollback')}>
          {T.ellipsis(R.acts.rollback)}
        </Button>
      )}
      {isOffered('cancel', rollout) && <Button onClick={open('cancel')}>{T.ellipsis(R.acts.cancel)}</Button>}
      {isOffered('pause', rollout) && <Button onClick={open('pause')}>{T.ellipsis(R.acts.pause)}</Button>}
      {isOffered('resume', rollout) && (
        <Button kind={canRetry ? undefined : 'primary'} onClick={open('resume')}>
          {T.ellipsis(R.acts.resume)}
        </Button>
      )}
      {canRetry && (
        <Button kind={rollout.state === 'halted' ? 'primary' : undefined} onClick={open('retry')}>
          {R.retryCount(retries)}
        </Button>
      )}
      {may('administrator') && rollout.stage === 'synchronize' && rollout.state !== 'canceled' && (
        <Button
          kind="primary"
          onClick={() =>
            openDialog((close) => <StartDialog close={close} from={rollout} release={releaseText(rollout)} />)
          }
        >
          {T.ellipsis(R.upgradeThese)}
        </Button>
      )}
    </>
  );
}

interface ActDialogProps {
  readonly verb: Verb;
  readonly rollout: Rollout;
  readonly close: () => void;
}

interface CheckedAct extends Checked {
  readonly count: number;
}

function ActDialog({ verb, rollout, close }: ActDialogProps): JSX.Element {
  const path = `/rollouts/${rollout.id}`;
  const check = async (query: Terms): Promise<CheckedAct> => {
    const { data: before } = await get<Rollout>(path);
    const { data: report } = await send<Report<Rollout>>('POST', `${path}/${verb}`, { query });
    return { ...report, count: countFor(verb, before, report.result) };
  };
  const isDanger = verb === 'rollback' || verb === 'cancel';
  return (
    <PreflightDialog
      title={R.actTitle(R.acts[verb], rollout.id)}
      act={R.acts[verb]}
      isDanger={isDanger}
      {...(isDanger ? { tick: R.ticks[verb](countFor(verb, rollout)) } : {})}
      inputs={verb}
      check={check}
      apply={({ comment, ticket }) => send('POST', `${path}/${verb}`, { query: { comment, ticket } as Terms })}
      effects={({ count }) => (
        <Callout meaning={verb === 'rollback' && count > 0 ? 'warn' : 'info'} title={R.effects[verb](count)} />
      )}
      doneText={R.actDone(R.acts[verb], rollout.id)}
      close={close}
      done={() => undefined}
    >
      <p>{R.actTexts[verb]}</p>
      {verb === 'resume' && rollout.state === 'halted' && !isEnded(rollout) && <p class="t2">{R.resumeAccepts}</p>}
    </PreflightDialog>
  );
}
