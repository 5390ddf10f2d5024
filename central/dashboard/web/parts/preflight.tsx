// A dialog before an act: what it would do and who would be cut off, computed again when it is confirmed; comment,
// ticket, the box to tick, and the time within which it has to be confirmed.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { problemOf, type Terms } from '../client/api.ts';
import { readPending } from '../client/pending.ts';
import type { ProblemDocument, Report } from '../client/types.ts';
import { T } from '../strings.ts';
import { Button, Tick } from './controls.tsx';
import { Dialog } from './dialog.tsx';
import { Callout, Fault, SkeletonCard } from './layout.tsx';
import { Foreign, ForeignLine, None } from './text.tsx';
import { announce, say } from './toast.tsx';
import { NO_REASONS, Why, type Reasons } from './why.tsx';

/** What an act would do. */
export type Checked = Pick<Report, 'changed' | 'cutOff' | 'notices' | 'needsForce'>;

/** Of acts that cut off none: what they do is in the text of the dialog. */
export const CUTS_NONE: Checked = { changed: [], cutOff: { count: 0, items: [] }, notices: [], needsForce: false };

interface PreflightProps<R extends Checked> {
  readonly title: string;
  /** Of the button. */
  readonly act: string;
  readonly isDanger?: boolean;
  /** What has to be ticked first, whether the act cuts agents off or not. */
  readonly tick?: string;
  /** What decides the result, in words: another one is checked anew after a moment. Null: not complete yet. */
  readonly inputs: string | null;
  readonly check: (terms: Terms) => Promise<R>;
  readonly apply: (terms: Terms) => Promise<unknown>;
  /** What the report says beyond the usual. */
  readonly effects?: (report: R) => ComponentChildren;
  /** Offers that the act is rolled back unless it is confirmed. */
  readonly isTimed?: boolean;
  /** Said when it is done. */
  readonly doneText: string;
  /** What to do first, so that none is cut off. */
  readonly safer?: ComponentChildren;
  readonly children?: ComponentChildren;
  readonly close: () => void;
  readonly done: () => void;
}

const CHECK_AFTER_MS = 400;
const [CONFIRM_SECONDS, CONFIRM_SHARE] = [600, 0.9];

/** What decides whether a report still says what was shown. What a value becomes follows from the request. */
function essence({ changed, cutOff, notices, needsForce }: Checked): string {
  return JSON.stringify([
    changed.map(({ name, from }) => [name, from]),
    cutOff.count,
    cutOff.items.map(({ agent, reason }) => [agent.id, reason]),
    notices.map(({ code }) => code),
    needsForce,
  ]);
}

interface Preflight<R> {
  /** Null: not there yet. */
  readonly report: R | null;
  readonly problem: ProblemDocument | null;
  /** It changed since it was shown. */
  readonly isNew: boolean;
  readonly isTicked: boolean;
  readonly setTicked: (isTicked: boolean) => void;
  /** True: done. False: it changed meanwhile, or was refused. */
  readonly carryOut: (why: Reasons) => Promise<boolean>;
}

/** Checks the act when its inputs change, and again right before it is carried out. */
function usePreflight<R extends Checked>(
  { inputs, check, apply }: Pick<PreflightProps<R>, 'inputs' | 'check' | 'apply'>,
  timed: Terms,
): Preflight<R> {
  const [report, setReport] = useState<R | null>(null);
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  const [isNew, setNew] = useState(false);
  const [isTicked, setTicked] = useState(false);
  const isBusy = useRef(false);
  const isFirst = useRef(true);
  useEffect(() => {
    setReport(null);
    setProblem(null);
    setTicked(false);
    if (inputs === null) return undefined;
    let isCurrent = true;
    const look = (): void => {
      check({ ...timed, dryRun: true }).then(
        (found) => isCurrent && setReport(found),
        (error: unknown) => isCurrent && setProblem(problemOf(error)),
      );
    };
    const timer = setTimeout(look, isFirst.current ? 0 : CHECK_AFTER_MS);
    isFirst.current = false;
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
    // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [inputs, JSON.stringify(timed)]);
  const carryOut = async (why: Reasons): Promise<boolean> => {
    if (report === null || isBusy.current) return false;
    isBusy.current = true;
    setProblem(null);
    try {
      const again = await check({ ...timed, dryRun: true });
      if (essence(again) !== essence(report)) {
        setReport(again);
        setNew(true);
        setTicked(false);
        return false;
      }
      await apply({ ...timed, ...why, ...(report.needsForce ? { force: true } : {}) });
      await readPending().catch(() => undefined);
      return true;
    } catch (error) {
      setProblem(problemOf(error));
      return false;
    } finally {
      isBusy.current = false;
    }
  };
  return { report, problem, isNew, isTicked, setTicked, carryOut };
}

export function PreflightDialog<R extends Checked>(props: PreflightProps<R>): JSX.Element {
  const { title, act, isDanger = false, inputs, effects, doneText, safer, close, done } = props;
  const [why, setWhy] = useState(NO_REASONS);
  const [wantsTimed, setTimed] = useState(true);
  const isTimed = props.isTimed === true && wantsTimed;
  const box = useRef<HTMLInputElement>(null);
  const timed: Terms = isTimed ? { confirmWithinSeconds: CONFIRM_SECONDS, confirmShare: CONFIRM_SHARE } : {};
  const { report, problem, isNew, isTicked, setTicked, carryOut } = usePreflight(props, timed);
  const cut = report?.cutOff.count ?? 0;
  const tick = cut > 0 ? [props.tick, T.tick(cut)].filter(Boolean).join(' ') : props.tick;
  const confirm = async (): Promise<void> => {
    if (tick !== undefined && !isTicked) {
      box.current?.focus();
      return announce(T.tickFirst);
    }
    if (!(await carryOut(why))) return;
    say(doneText);
    done();
    close();
  };
  const foot = (
    <>
      {cut > 0 && safer !== undefined && <span class="grow">{safer}</span>}
      <Button onClick={close}>{T.cancel}</Button>
      {report !== null && (
        <Button kind={isDanger || cut > 0 ? 'danger' : 'primary'} onClick={() => void confirm()}>
          {cut > 0 ? T.applyCut(act, cut) : act}
        </Button>
      )}
    </>
  );
  return (
    <Dialog title={title} sub={T.nothingChanged} onClose={close} foot={foot}>
      {props.children}
      {isNew && <Callout meaning="warn" title={T.changedMeanwhile} />}
      {report === null ? (
        problem === null && inputs !== null && <SkeletonCard lines={3} />
      ) : (
        <>
          {effects?.(report)}
          <Effects report={report} />
        </>
      )}
      <Why value={why} onInput={setWhy} />
      {props.isTimed === true && (
        <label class="check">
          <input type="checkbox" checked={isTimed} onChange={({ currentTarget }) => setTimed(currentTarget.checked)} />
          <span>{T.preflight.timed(CONFIRM_SECONDS / 60, CONFIRM_SHARE)}</span>
        </label>
      )}
      {report !== null && tick !== undefined && (
        <Tick label={tick} isTicked={isTicked} box={box} onChange={setTicked} />
      )}
      {problem !== null && <Fault problem={problem} />}
    </Dialog>
  );
}

const MAX_NAMED = 100;

interface EffectsProps {
  readonly report: Checked;
  /** A value in words. */
  readonly show?: (value: unknown) => string;
}

export function Effects({ report, show = shown }: EffectsProps): JSX.Element {
  const { changed, cutOff, notices } = report;
  const hasAddress = cutOff.items.some(({ address }) => address !== null);
  const hasHint = cutOff.items.some(({ hint }) => hint !== null);
  return (
    <>
      {changed.map(({ name, from, to }) => (
        <div class="diff" key={name}>
          <code>{name}</code> <del>{show(from)}</del> → <ins>{show(to)}</ins>
        </div>
      ))}
      {cutOff.count > 0 ? (
        <>
          <Callout meaning="bad" title={T.cutOff(cutOff.count)} />
          <div class="inset">
            <table class="cards">
              <thead>
                <tr>
                  <th scope="col">{T.agent}</th>
                  {hasAddress && <th scope="col">{T.preflight.address}</th>}
                  <th scope="col">{hasHint ? T.preflight.whatFirst : T.preflight.why}</th>
                </tr>
              </thead>
              <tbody>
                {cutOff.items.slice(0, MAX_NAMED).map(({ agent, reason, detail, address, hint }) => (
                  <tr key={`${agent.id} ${reason}`}>
                    <td class="wide">
                      <b>
                        <ForeignLine text={agent.name} />
                      </b>
                    </td>
                    {hasAddress && <td class="wide nowrap">{address === null ? <None /> : <code>{address}</code>}</td>}
                    <td class="wide">
                      {hint !== null && <ForeignLine text={hint} />}
                      <span class={hint === null ? '' : 'd2'}>
                        <Foreign text={detail} />
                      </span>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          {cutOff.count > MAX_NAMED && <p class="t2">{T.preflight.more(cutOff.count - MAX_NAMED)}</p>}
        </>
      ) : (
        <Callout meaning="ok" title={T.preflight.cutsNone} />
      )}
      {notices.map(({ code, detail }) => (
        <Callout key={code} meaning="warn" title={<Foreign text={detail} />} />
      ))}
    </>
  );
}

/** Thumbprints are cut: they are compared elsewhere. */
function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return value === null || value === undefined ? T.none : text.length > 40 ? `${text.slice(0, 16)} …` : text;
}
