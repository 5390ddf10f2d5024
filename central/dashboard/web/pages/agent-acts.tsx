// Acts on one agent: a preflight first, computed again when it is confirmed, with comment and ticket.
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { problemOf, send, type Terms } from '../client/api.ts';
import type { Agent, ProblemDocument, Report } from '../client/types.ts';
import { absolute, visible } from '../format.ts';
import { Button, Tick } from '../parts/controls.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Callout, Fault, SkeletonCard } from '../parts/layout.tsx';
import { NO_REASONS, Why } from '../parts/why.tsx';
import { Command, Foreign } from '../parts/text.tsx';
import { announce, say } from '../parts/toast.tsx';
import { T } from '../strings.ts';

export type AgentAct = keyof typeof T.acts;

async function carryOut(agent: Agent, act: AgentAct, terms: Terms): Promise<Report | null> {
  const path = `/agents/${encodeURIComponent(agent.id)}`;
  const sent = act === 'delete' ? send<Report>('DELETE', path, { query: terms }) : undefined;
  return (await (sent ?? send<Report>('POST', `${path}/${act}`, { query: terms }))).data;
}

/** What decides whether a report still says what was shown. */
function essence({ changed, cutOff, notices }: Report): string {
  return JSON.stringify([changed, cutOff.items.map(({ agent }) => agent.id), notices.map(({ code }) => code)]);
}

interface ActDialogProps {
  readonly agent: Agent;
  readonly act: AgentAct;
  readonly close: () => void;
  readonly done: () => void;
}

export function ActDialog({ agent, act, close, done }: ActDialogProps): JSX.Element {
  const [report, setReport] = useState<Report | null>(null);
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  const [isNew, setNew] = useState(false);
  const [reason, setReason] = useState(NO_REASONS);
  const [isTicked, tick] = useState(false);
  const box = useRef<HTMLInputElement>(null);
  useEffect(() => {
    carryOut(agent, act, { dryRun: true }).then(setReport, (error: unknown) => setProblem(problemOf(error)));
  }, [agent.id, act]);
  const cut = report?.cutOff.count ?? 0;
  const word = T.acts[act];
  const apply = async (): Promise<void> => {
    if (report === null) return;
    if (cut > 0 && !isTicked) {
      box.current?.focus();
      return announce(T.tickFirst);
    }
    setProblem(null);
    try {
      const again = await carryOut(agent, act, { dryRun: true });
      if (again !== null && essence(again) !== essence(report)) {
        setReport(again);
        setNew(true);
        return tick(false);
      }
      await carryOut(agent, act, reason);
      say(T.done(word, visible(agent.name)));
      done();
      close();
    } catch (error) {
      setProblem(problemOf(error));
    }
  };
  return (
    <Dialog
      title={T.actTitle(word, visible(agent.name).slice(0, 100))}
      sub={T.nothingChanged}
      onClose={close}
      foot={
        <>
          <Button onClick={close}>{T.cancel}</Button>
          {report !== null && (
            <Button kind={act === 'enable' ? 'primary' : 'danger'} onClick={() => void apply()}>
              {cut > 0 ? T.applyCut(word, cut) : word}
            </Button>
          )}
        </>
      }
    >
      <p>{T.actTexts[act]}</p>
      {isNew && <Callout meaning="warn" title={T.changedMeanwhile} />}
      {report === null ? problem === null && <SkeletonCard lines={3} /> : <Preflight report={report} />}
      <Why value={reason} onInput={setReason} />
      {cut > 0 && <Tick label={T.tick(cut)} isTicked={isTicked} box={box} onChange={tick} />}
      {problem !== null && <Fault problem={problem} />}
    </Dialog>
  );
}

function Preflight({ report }: { readonly report: Report }): JSX.Element {
  const { changed, cutOff, notices } = report;
  return (
    <>
      {changed.map(({ name, from, to }) => (
        <div class="diff" key={name}>
          <code>{name}</code> <del>{String(from)}</del> → <ins>{String(to)}</ins>
        </div>
      ))}
      {cutOff.count > 0 ? (
        <Callout meaning="bad" title={T.cutOff(cutOff.count)}>
          {cutOff.items.map(({ agent, detail }) => (
            <p key={agent.id}>
              <b>
                <Foreign text={agent.name} />
              </b>
              : {detail}
            </p>
          ))}
        </Callout>
      ) : (
        <Callout meaning="ok" title={changed.length === 0 && notices.length === 0 ? T.noChange : T.cutsNone} />
      )}
      {notices.map(({ code, detail }) => (
        <Callout key={code} meaning="warn" title={<Foreign text={detail} />} />
      ))}
    </>
  );
}

interface RecoveryCode {
  readonly code: string;
  readonly expiresAt: string;
  readonly commandLine: string;
}

export function RecoveryDialog({ agent, close }: { readonly agent: Agent; readonly close: () => void }): JSX.Element {
  const [made, setMade] = useState<RecoveryCode | null>(null);
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  const [reason, setReason] = useState(NO_REASONS);
  const make = (): void => {
    setProblem(null);
    const path = `/agents/${encodeURIComponent(agent.id)}/recovery-code`;
    send<RecoveryCode>('POST', path, { body: {}, query: { ...reason } }).then(
      ({ data }) => setMade(data),
      (error: unknown) => setProblem(problemOf(error)),
    );
  };
  return (
    <Dialog
      title={T.recoveryTitle(visible(agent.name).slice(0, 100))}
      sub={T.recoverySub}
      onClose={close}
      foot={
        <>
          <Button onClick={close}>{T.close}</Button>
          {made === null && (
            <Button kind="primary" onClick={make}>
              {T.recoveryMake}
            </Button>
          )}
        </>
      }
    >
      {made === null ? (
        <Why value={reason} onInput={setReason} />
      ) : (
        <>
          <Command text={made.code} />
          <p class="t2">
            {T.recoveryOnce} {absolute(made.expiresAt)}
          </p>
          <p>{T.recoveryRun}</p>
          <Command text={made.commandLine} />
        </>
      )}
      {problem !== null && <Fault problem={problem} />}
    </Dialog>
  );
}
