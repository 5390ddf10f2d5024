// What operators decide about a task: cancel it, and run the same once more.
import type { JSX } from 'preact';
import { get, send, type Terms } from '../../client/api.ts';
import { may } from '../../client/session.ts';
import { Button } from '../../parts/controls.tsx';
import { openDialog } from '../../parts/dialog.tsx';
import { CUTS_NONE, PreflightDialog, type Checked } from '../../parts/preflight.tsx';
import { T } from '../../strings.ts';
import { hasEnded, type Task } from './shapes.ts';
import { StartDialog } from './start.tsx';

const { tasks: K } = T;

export function TaskActs({ task }: { readonly task: Task }): JSX.Element | null {
  if (!may('operator')) return null;
  const { agent, queue, handler, arguments: words, state } = task;
  const first = { agent: queue === null ? (agent?.name ?? '') : '', queue: queue ?? '', handler, words };
  return (
    <>
      <Button onClick={() => openDialog((close) => <StartDialog close={close} first={first} />)}>
        {T.ellipsis(K.startAgain)}
      </Button>
      {!hasEnded(state) && state !== 'canceling' && (
        <Button kind="danger" onClick={() => openDialog((close) => <CancelDialog task={task} close={close} />)}>
          {T.ellipsis(K.cancel)}
        </Button>
      )}
    </>
  );
}

interface CancelDialogProps {
  readonly task: Task;
  readonly close: () => void;
}

function CancelDialog({ task: { id, state }, close }: CancelDialogProps): JSX.Element {
  const isWaiting = state === 'queued';
  /** What would become of the task as it is now. */
  const check = async (): Promise<Checked> => {
    const { data } = await get<Task>(`/tasks/${id}`);
    if (hasEnded(data.state)) {
      const detail = K.hasEnded(K.states[data.state] ?? data.state);
      return { ...CUTS_NONE, notices: [{ code: 'task_ended', detail }] };
    }
    const to = data.state === 'queued' ? 'canceled' : 'canceling';
    return { ...CUTS_NONE, changed: [{ name: 'state', from: data.state, to }] };
  };
  return (
    <PreflightDialog
      title={K.cancelTitle(id)}
      act={K.cancel}
      isDanger
      {...(isWaiting ? {} : { tick: K.cancelTick })}
      inputs={id}
      check={check}
      apply={({ comment, ticket }: Terms) =>
        send('POST', `/tasks/${id}/cancel`, { query: { comment, ticket } as Terms })
      }
      doneText={K.canceled(id)}
      close={close}
      done={() => undefined}
    >
      <p>{isWaiting ? K.cancelText.waits : K.cancelText.other}</p>
    </PreflightDialog>
  );
}
