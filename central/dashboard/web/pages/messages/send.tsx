// Sends a message to one agent, and withdraws one that still waits at Central.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { problemOf, send, type Terms } from '../../client/api.ts';
import type { Agent, ProblemDocument, Report } from '../../client/types.ts';
import { visible } from '../../format.ts';
import { Button } from '../../parts/controls.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import { Fault } from '../../parts/layout.tsx';
import { PreflightDialog } from '../../parts/preflight.tsx';
import { Foreign } from '../../parts/text.tsx';
import { say } from '../../parts/toast.tsx';
import { T } from '../../strings.ts';
import { draftFault, eventOf, MessageFields, NO_DRAFT } from './draft.tsx';

interface SendDialogProps {
  readonly agent: Agent;
  readonly close: () => void;
  readonly whenDone: () => void;
}

export function SendDialog({ agent, close, whenDone }: SendDialogProps): JSX.Element {
  const [draft, setDraft] = useState(NO_DRAFT);
  // Sent again after a cut connection, it is the same message.
  const [id] = useState(() => crypto.randomUUID());
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  const name = visible(agent.name).slice(0, 100);
  const apply = (): void => {
    setProblem(null);
    const path = `/agents/${encodeURIComponent(agent.id)}/commands`;
    send('POST', path, { body: eventOf(draft, id) }).then(
      () => {
        say(T.message.sent(name));
        whenDone();
        close();
      },
      (error: unknown) => setProblem(problemOf(error)),
    );
  };
  return (
    <Dialog
      title={T.message.title(name)}
      sub={T.message.sub}
      onClose={close}
      foot={
        <>
          <Button onClick={close}>{T.cancel}</Button>
          <Button kind="primary" why={draftFault(draft)} onClick={apply}>
            {T.message.send}
          </Button>
        </>
      }
    >
      <MessageFields value={draft} onInput={setDraft} />
      {problem !== null && <Fault problem={problem} />}
    </Dialog>
  );
}

interface WithdrawDialogProps {
  readonly commandId: string;
  readonly type: string;
  readonly close: () => void;
  readonly whenDone: () => void;
}

export function WithdrawDialog({ commandId, type, close, whenDone }: WithdrawDialogProps): JSX.Element {
  const withdraw = async (terms: Terms): Promise<Report> =>
    (await send<Report>('DELETE', `/commands/${encodeURIComponent(commandId)}`, { query: { ...terms } })).data;
  return (
    <PreflightDialog
      title={T.message.withdrawTitle}
      act={T.message.withdraw}
      isDanger
      inputs={commandId}
      check={withdraw}
      apply={withdraw}
      doneText={T.message.withdrawn}
      close={close}
      done={whenDone}
    >
      <p>
        <code>
          <Foreign text={type} />
        </code>
        . {T.message.withdrawText}
      </p>
    </PreflightDialog>
  );
}
