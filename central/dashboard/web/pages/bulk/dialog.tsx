// An act on several agents: the frozen list of them, what it would do, and afterwards what each of them answered.
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { problemOf, type Terms } from '../../client/api.ts';
import type { ProblemDocument } from '../../client/types.ts';
import { Button, Tick } from '../../parts/controls.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import { Callout, Fault, SkeletonCard } from '../../parts/layout.tsx';
import { ForeignLine } from '../../parts/text.tsx';
import { announce } from '../../parts/toast.tsx';
import { NO_REASONS, Why } from '../../parts/why.tsx';
import { T } from '../../strings.ts';
import { draftFault, eventOf, NO_DRAFT } from '../messages/draft.tsx';
import {
  carryOut,
  essence,
  preflight,
  type BulkAct,
  type BulkOrder,
  type BulkOutcome,
  type BulkReport,
} from './acts.ts';
import { Fields, labelsIn, missing, type Settings } from './fields.tsx';
import { Names, Result } from './result.tsx';

interface BulkDialogProps {
  readonly act: BulkAct;
  readonly agents: BulkOrder['agents'];
  readonly close: () => void;
  /** Gets those who refused: they stay selected. */
  readonly whenDone: (failed: readonly BulkOutcome[]) => void;
}

const NO_SETTINGS: Settings = { set: '', remove: '', withinSeconds: '600', draft: NO_DRAFT };

interface Act {
  readonly report: BulkReport | null;
  /** The report is not the one that was shown before. */
  readonly isNew: boolean;
  /** Null: not begun. */
  readonly doneCount: number | null;
  readonly outcomes: readonly BulkOutcome[] | null;
  readonly problem: ProblemDocument | null;
  /** False: nothing was applied, since it would do something else than was shown. */
  readonly apply: (terms: Terms, message?: BulkOrder['message']) => Promise<boolean>;
}

function useAct(order: BulkOrder, whenDone: BulkDialogProps['whenDone']): Act {
  const [report, setReport] = useState<BulkReport | null>(null);
  const [isNew, setNew] = useState(false);
  const [doneCount, setDoneCount] = useState<number | null>(null);
  const [outcomes, setOutcomes] = useState<readonly BulkOutcome[] | null>(null);
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  // Labels are checked when they are there; the others say at once what they would do.
  useEffect(() => {
    if (order.act === 'labels') return;
    preflight(order).then(setReport, (error: unknown) => setProblem(problemOf(error)));
  }, []);
  const apply = async (terms: Terms, message?: BulkOrder['message']): Promise<boolean> => {
    setProblem(null);
    try {
      const again = await preflight(order);
      const isSame = report === null || essence(again) === essence(report);
      setReport(again);
      setNew(!isSame);
      if (!isSame) return false;
      setDoneCount(0);
      const found = await carryOut({ ...order, ...(message === undefined ? {} : { message }) }, terms, setDoneCount);
      setOutcomes(found);
      whenDone(found.filter((one) => one.problem !== null));
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setDoneCount(null);
    }
    return true;
  };
  return { report, isNew, doneCount, outcomes, problem, apply };
}

export function BulkDialog({ act, agents, close, whenDone }: BulkDialogProps): JSX.Element {
  const [settings, change] = useState(NO_SETTINGS);
  const [why, setWhy] = useState(NO_REASONS);
  const [isTicked, tick] = useState(false);
  const box = useRef<HTMLInputElement>(null);
  // The same for all agents, and for each time that it is sent: what has it already takes it once.
  const id = useMemo(() => crypto.randomUUID(), []);
  const word = T.bulk.acts[act];
  const order: BulkOrder = {
    act,
    agents,
    ...(act === 'labels' ? { labels: labelsIn(settings) ?? {} } : {}),
    ...(act === 'drain' ? { withinSeconds: Number(settings.withinSeconds) } : {}),
  };
  const { report, isNew, doneCount, outcomes, problem, apply } = useAct(order, whenDone);
  const isMessage = act === 'message';
  const fault = isMessage ? draftFault(settings.draft) : missing(act, settings);
  // A drain ends sessions that begin again at once.
  const cut = act === 'drain' ? 0 : (report?.cutCount ?? 0);
  const press = (): void => {
    if (cut === 0 || isTicked) {
      const applied = isMessage ? apply({}, eventOf(settings.draft, id)) : apply(why);
      void applied.then((isSame) => !isSame && tick(false));
      return;
    }
    box.current?.focus();
    announce(T.tickFirst);
  };
  if (outcomes !== null) return <Result word={word} outcomes={outcomes} close={close} />;
  return (
    <Dialog
      title={T.bulk.title(word, agents.length)}
      sub={T.nothingChanged}
      onClose={close}
      foot={
        <>
          <Button onClick={close}>{T.cancel}</Button>
          <Button
            kind={act === 'disable' || act === 'revoke' ? 'danger' : 'primary'}
            why={doneCount === null ? fault : T.bulk.doing(doneCount, agents.length)}
            onClick={press}
          >
            {cut > 0 ? T.applyCut(word, cut) : T.bulk.apply(word, agents.length)}
          </Button>
        </>
      }
    >
      <p>{T.bulk.texts[act]}</p>
      <Names agents={agents} />
      <Fields act={act} value={settings} onInput={change} />
      {isNew && <Callout meaning="warn" title={T.changedMeanwhile} />}
      {act !== 'labels' && !isMessage && (
        <Preflight report={report} isDrain={act === 'drain'} hasFailed={problem !== null} />
      )}
      {!isMessage && <Why value={why} onInput={setWhy} />}
      {cut > 0 && <Tick label={T.tick(cut)} isTicked={isTicked} box={box} onChange={tick} />}
      {problem !== null && <Fault problem={problem} />}
    </Dialog>
  );
}

interface PreflightProps {
  readonly report: BulkReport | null;
  readonly isDrain: boolean;
  readonly hasFailed: boolean;
}

const SHOWN = 50;

function Preflight({ report, isDrain, hasFailed }: PreflightProps): JSX.Element | null {
  if (report === null) return hasFailed ? null : <SkeletonCard lines={2} />;
  const { cutCount, cut, notices } = report;
  return (
    <>
      {cutCount === 0 ? (
        <Callout meaning="ok" title={T.cutsNone} />
      ) : (
        <Callout meaning={isDrain ? 'info' : 'bad'} title={isDrain ? T.bulk.reconnect(cutCount) : T.cutOff(cutCount)}>
          {cut.slice(0, SHOWN).map(({ agent, detail }) => (
            <p key={agent.id}>
              <b>
                <ForeignLine text={agent.name} />
              </b>
              : {detail}
            </p>
          ))}
          {cutCount > SHOWN && <p>{T.bulk.more(cutCount - SHOWN)}</p>}
        </Callout>
      )}
      {notices.map(({ code, detail }) => (
        <Callout key={code} meaning="warn" title={<ForeignLine text={detail} />} />
      ))}
    </>
  );
}
