// The acts on Central's certificate: reissue, request from another authority and install its answer, import, activate the
// staged one, restore the previous one; each with its preflight first.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { problemOf, send, type Terms } from '../../client/api.ts';
import { pendingChange } from '../../client/pending.ts';
import { useStore } from '../../client/store.ts';
import type { ProblemDocument, Report } from '../../client/types.ts';
import { Button, Menu, Select } from '../../parts/controls.tsx';
import { Dialog, openDialog } from '../../parts/dialog.tsx';
import { FileField, PasswordField, type ReadFile } from '../../parts/file-field.tsx';
import { Icon } from '../../parts/icon.tsx';
import { Callout, Fault } from '../../parts/layout.tsx';
import { Command } from '../../parts/text.tsx';
import { CUTS_NONE, PreflightDialog } from '../../parts/preflight.tsx';
import { NO_REASONS, Why } from '../../parts/why.tsx';
import { T } from '../../strings.ts';
import type { ServerCertificates } from './shapes.ts';

const { certificates: C } = T;

type Swap = 'issue' | 'install' | 'import' | 'activate' | 'restore';

interface ServerActsProps {
  readonly certificates: ServerCertificates;
  readonly again: () => void;
}

export function ServerActs({ certificates, again }: ServerActsProps): JSX.Element {
  const { staged, previous, request } = certificates;
  const pending = useStore(pendingChange);
  const locked = pending === null ? undefined : C.locked;
  const swap = (act: Swap) => (): void => openDialog((close) => <SwapDialog swap={act} close={close} done={again} />);
  const remove = (slot: 'request' | 'staged') => (): void =>
    openDialog((close) => <RemoveDialog slot={slot} close={close} done={again} />);
  const ask = (): void =>
    openDialog((close) => <RequestDialog csr={request?.csr ?? null} close={close} whenDone={again} />);
  return (
    <div class="tfoot">
      <Button isSmall why={locked} onClick={swap('issue')}>
        {T.ellipsis(C.swaps.issue)}
      </Button>
      {staged !== null && (
        <Button isSmall why={locked} onClick={swap('activate')}>
          {T.ellipsis(C.swaps.activate)}
        </Button>
      )}
      {previous !== null && (
        <Button isSmall why={locked} onClick={swap('restore')}>
          {T.ellipsis(C.swaps.restore)}
        </Button>
      )}
      <Menu
        label={C.moreActs}
        summaryClass="btn icon sm"
        isUp
        summary={<Icon name="more" />}
        items={[
          { text: request === null ? C.request : C.showRequest, onClick: ask },
          ...(request === null
            ? []
            : [
                { text: T.ellipsis(C.swaps.install), onClick: swap('install') },
                { text: T.ellipsis(C.removals.request.act), isBad: true, onClick: remove('request') },
              ]),
          { text: T.ellipsis(C.swaps.import), onClick: swap('import') },
          ...(staged === null
            ? []
            : [{ text: T.ellipsis(C.removals.staged.act), isBad: true, onClick: remove('staged') }]),
        ]}
      />
    </div>
  );
}

interface SwapDialogProps {
  readonly swap: Swap;
  readonly close: () => void;
  readonly done: () => void;
}

interface CheckedSwap extends Report {
  /** The agents that do not trust it yet. */
  readonly untrusting: number;
}

const SLOTS: Partial<Record<Swap, string>> = { activate: 'staged', restore: 'previous' };

function SwapDialog({ swap, close, done }: SwapDialogProps): JSX.Element {
  const [file, setFile] = useState<ReadFile | null>(null);
  const [password, setPassword] = useState('');
  const [isStaged, setStaged] = useState(false);
  const needsFile = swap === 'install' || swap === 'import';
  const slot = SLOTS[swap];
  const carryOut = async (terms: Terms): Promise<Report> => {
    // One that is staged is not in use: nothing has to be confirmed.
    const { confirmWithinSeconds: _seconds, confirmShare: _share, ...untimed } = terms;
    const query = isStaged ? { ...untimed, stage: true } : terms;
    const body = slot === undefined ? { ...file, ...(password === '' ? {} : { password }) } : { slot };
    const path = `/server-certificate/${slot === undefined ? swap : 'activate'}`;
    return (await send<Report>('POST', path, { query, ...(swap === 'issue' ? {} : { body }) })).data;
  };
  // Who would be cut off by a staged one counts when it is activated.
  const check = async (terms: Terms): Promise<CheckedSwap> => {
    const report = await carryOut(terms);
    const untrusting = report.cutOff.count;
    return { ...report, ...(isStaged ? { cutOff: { count: 0, items: [] } } : {}), untrusting };
  };
  const inputs = needsFile && file === null ? null : `${file?.content.length ?? 0} ${password} ${isStaged}`;
  return (
    <PreflightDialog
      title={C.swapTitles[swap]}
      act={C.swaps[swap]}
      inputs={inputs}
      check={check}
      apply={carryOut}
      effects={({ untrusting }) => isStaged && <Callout meaning="info" title={C.staging(untrusting)} />}
      isTimed={!isStaged}
      doneText={isStaged ? C.stagedNow : C.swapped}
      close={close}
      done={done}
    >
      <p>{C.swapTexts[swap]}</p>
      {needsFile && (
        <div class="frow">
          <FileField
            label={T.preflight.file}
            hint={swap === 'install' ? C.installHint : C.importHint}
            accept=".pem,.crt,.cer,.p7b,.p12,.pfx,.jks"
            onRead={setFile}
          />
          <PasswordField value={password} onInput={setPassword} />
        </div>
      )}
      {slot === undefined && (
        <Select
          label={C.use}
          value={String(isStaged)}
          options={C.uses}
          onChange={(value) => setStaged(value === 'true')}
        />
      )}
    </PreflightDialog>
  );
}

interface RemoveDialogProps {
  readonly slot: 'request' | 'staged';
  readonly close: () => void;
  readonly done: () => void;
}

function RemoveDialog({ slot, close, done }: RemoveDialogProps): JSX.Element {
  const { title, text, act, doneText, tick } = C.removals[slot];
  return (
    <PreflightDialog
      title={title}
      act={act}
      isDanger
      tick={tick}
      inputs={slot}
      check={() => Promise.resolve(CUTS_NONE)}
      apply={({ comment, ticket }) =>
        send('DELETE', `/server-certificate/${slot}`, { query: { comment, ticket } as Terms })
      }
      doneText={doneText}
      close={close}
      done={done}
    >
      <p>{text}</p>
    </PreflightDialog>
  );
}

interface RequestDialogProps {
  /** The open one; null: none yet. */
  readonly csr: string | null;
  readonly close: () => void;
  readonly whenDone: () => void;
}

function RequestDialog({ csr, close, whenDone }: RequestDialogProps): JSX.Element {
  const [made, setMade] = useState(csr);
  const [algorithm, setAlgorithm] = useState('ec');
  const [why, setWhy] = useState(NO_REASONS);
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  const make = (): void => {
    setProblem(null);
    const sent = { body: { keyAlgorithm: algorithm }, query: { ...why }, idempotencyKey: crypto.randomUUID() };
    send<{ readonly csr: string }>('POST', '/server-certificate/request', sent).then(
      ({ data }) => {
        setMade(data.csr);
        whenDone();
      },
      (error: unknown) => setProblem(problemOf(error)),
    );
  };
  return (
    <Dialog
      title={C.requestTitle}
      sub={C.requestSub}
      onClose={close}
      foot={
        <>
          <Button onClick={close}>{T.close}</Button>
          {made === null && (
            <Button kind="primary" onClick={make}>
              {C.requestMake}
            </Button>
          )}
        </>
      }
    >
      {made === null ? (
        <>
          <Select label={C.keyAlgorithm} value={algorithm} options={C.keyAlgorithms} onChange={setAlgorithm} />
          <Why value={why} onInput={setWhy} />
        </>
      ) : (
        <>
          <Command text={made} label={C.copyRequest} />
          <p class="t2">{C.requestNext}</p>
        </>
      )}
      {problem !== null && <Fault problem={problem} />}
    </Dialog>
  );
}
