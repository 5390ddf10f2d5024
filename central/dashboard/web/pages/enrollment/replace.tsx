// Replaces the PC of an agent by one that asks to enroll: the agent keeps all but its key.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { all, send, type Terms } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import type { Agent, EnrollmentRequest, Report } from '../../client/types.ts';
import { shortHash, visible } from '../../format.ts';
import { Button, Select } from '../../parts/controls.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import { Empty, Fault, SkeletonCard } from '../../parts/layout.tsx';
import { PreflightDialog } from '../../parts/preflight.tsx';
import { Hint } from '../../parts/text.tsx';
import { T } from '../../strings.ts';
import { RequestFacts } from './decide.tsx';

interface ReplaceDialogProps {
  readonly agent: Agent;
  readonly close: () => void;
  readonly whenDone: () => void;
}

export function ReplaceDialog({ agent, close, whenDone }: ReplaceDialogProps): JSX.Element {
  const read = async (signal: AbortSignal) => await all<EnrollmentRequest>('/enrollment-requests', {}, signal);
  const { data, problem } = useLoaded('enrollment-requests', read, 5);
  const [key, setKey] = useState('');
  const chosen = data?.find(({ keyThumbprint }) => keyThumbprint === key) ?? data?.[0];
  const name = visible(agent.name).slice(0, 100);
  const title = T.enrollment.replaceTitle(name);
  if (data === undefined || chosen === undefined)
    return (
      <Dialog
        title={title}
        sub={T.enrollment.replaceSub}
        onClose={close}
        foot={<Button onClick={close}>{T.cancel}</Button>}
      >
        {data !== undefined ? (
          <NoRequest />
        ) : problem === undefined ? (
          <SkeletonCard lines={3} />
        ) : (
          <Fault problem={problem} />
        )}
      </Dialog>
    );
  const replace = async (terms: Terms): Promise<Report> => {
    const path = `/agents/${encodeURIComponent(agent.id)}/replace`;
    return (await send<Report>('POST', path, { body: { by: chosen.keyThumbprint }, query: { ...terms } })).data;
  };
  return (
    <PreflightDialog
      title={title}
      act={T.enrollment.replaceApply}
      isDanger
      tick={T.enrollment.compared}
      inputs={chosen.keyThumbprint}
      check={replace}
      apply={replace}
      doneText={T.enrollment.replaced(name)}
      close={close}
      done={whenDone}
    >
      <p>{T.enrollment.replaceSub}</p>
      <Select
        label={T.enrollment.replaceBy}
        value={chosen.keyThumbprint}
        options={data.map((one) => [
          one.keyThumbprint,
          `${visible(one.name).slice(0, 80)}, ${one.address}, ${shortHash(one.keyThumbprint, 4)}`,
        ])}
        onChange={setKey}
      />
      <RequestFacts request={chosen} />
    </PreflightDialog>
  );
}

function NoRequest(): JSX.Element {
  return (
    <Empty icon="agents" title={T.enrollment.replaceNone}>
      <p>
        <Hint text={T.enrollment.replaceNoneText} />
      </p>
    </Empty>
  );
}
