// The dialog between edits and their application: the preflight, why the change is made, and until when it has to be
// confirmed.
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { useStore } from '../../client/store.ts';
import type { Parameter } from '../../client/types.ts';
import { Button, Tick } from '../../parts/controls.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import { Callout, Fault, SkeletonCard } from '../../parts/layout.tsx';
import { NO_REASONS, Why } from '../../parts/why.tsx';
import { announce } from '../../parts/toast.tsx';
import { T } from '../../strings.ts';
import { drop, edits, rebase, same, type Edits } from './edits.ts';
import { Conflict, ParameterEffects } from './effects.tsx';
import { usePreflight, type Checked } from './preflight.ts';
import { DEFAULT_CONFIRMATION, termsOf, Timed } from './timed.tsx';

/** Those that could lock an administrator or agents out: they wait for a confirmation unless that is turned off. */
const CONNECTS = /^(?:websocket|https|http|certificate|access|agents\.(?:authentication|max))\b/;

function isConflict(parameter: Parameter, made: Edits): boolean {
  const mine = made[parameter.name];
  return mine !== undefined && !same(mine.base, parameter.value);
}

interface ReviewProps {
  readonly close: () => void;
  readonly done: () => void;
}

export function ReviewDialog({ close, done }: ReviewProps): JSX.Element {
  const made = useStore(edits);
  const names = Object.keys(made);
  const { shown, problem, isNew, check, apply } = usePreflight();
  const [reason, setReason] = useState(NO_REASONS);
  const [isTicked, tick] = useState(false);
  const [confirmation, setConfirmation] = useState(() => {
    return { ...DEFAULT_CONFIRMATION, isTimed: names.some((name) => CONNECTS.test(name)) };
  });
  const box = useRef<HTMLInputElement>(null);
  useEffect(() => void check(), []);
  const conflicts = shown === null ? [] : shown.list.items.filter((one) => isConflict(one, made));
  const report = shown?.report ?? null;
  const cut = report?.cutOff.count ?? 0;

  const confirm = async (): Promise<void> => {
    if (cut > 0 && !isTicked) {
      box.current?.focus();
      return announce(T.tickFirst);
    }
    const timed = termsOf(confirmation);
    if (timed === null) return;
    tick(false);
    const isApplied = await apply({ ...reason, ...timed });
    done();
    if (isApplied) close();
  };
  const takeTheirs = ({ name }: Parameter): void => {
    drop([name]);
    if (Object.keys(edits.get()).length === 0) close();
    else void check();
  };
  const keepMine = (parameter: Parameter): void => {
    rebase(parameter);
    void check();
  };

  return (
    <Dialog
      title={T.reviewTitle(names.length)}
      sub={T.nothingChanged}
      onClose={close}
      foot={<Foot report={report} isUndecided={conflicts.length > 0} close={close} confirm={() => void confirm()} />}
    >
      {isNew && conflicts.length === 0 && <Callout meaning="warn" title={T.changedMeanwhile} />}
      {conflicts.map((one) => (
        <Conflict
          key={one.name}
          parameter={one}
          made={made}
          takeTheirs={() => takeTheirs(one)}
          keepMine={() => keepMine(one)}
        />
      ))}
      {shown === null && problem === null && <SkeletonCard lines={3} />}
      {report !== null && (
        <>
          <ParameterEffects report={report} />
          <Why value={reason} onInput={setReason} />
          <Timed value={confirmation} onChange={setConfirmation} />
        </>
      )}
      {cut > 0 && <Tick label={T.tickReach(cut)} isTicked={isTicked} box={box} onChange={tick} />}
      {problem !== null && <Fault problem={problem} />}
    </Dialog>
  );
}

interface FootProps {
  readonly report: Checked | null;
  readonly isUndecided: boolean;
  readonly close: () => void;
  readonly confirm: () => void;
}

/** The safe way out comes first; the red button repeats how many it cuts off. */
function Foot({ report, isUndecided, close, confirm }: FootProps): JSX.Element {
  const cut = report?.cutOff.count ?? 0;
  const isPlain = report?.cutOff.items.every(({ reason }) => reason === 'unencrypted') === true;
  return (
    <>
      {cut > 0 && (
        <a class="out" href={isPlain ? '/agents?transport=ws' : '/agents'} onClick={close}>
          {T.moveFirst}
        </a>
      )}
      <Button onClick={close}>{T.cancel}</Button>
      {report !== null && (
        <Button kind={cut > 0 ? 'danger' : 'primary'} why={isUndecided ? T.conflictFirst : undefined} onClick={confirm}>
          {cut > 0 ? T.applyAndCut(cut) : T.apply}
        </Button>
      )}
    </>
  );
}
