// What may be done about the release of one agent: let it measure what is on its disk, and restore what was changed there.
import type { JSX } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { problemOf, send, type Terms } from '../client/api.ts';
import { may } from '../client/session.ts';
import type { Agent, ProblemDocument, Report } from '../client/types.ts';
import { absolute, visible } from '../format.ts';
import { Button } from '../parts/controls.tsx';
import { openDialog } from '../parts/dialog.tsx';
import { Callout, Fault } from '../parts/layout.tsx';
import { PreflightDialog } from '../parts/preflight.tsx';
import { say } from '../parts/toast.tsx';
import { go } from '../router.ts';
import { T } from '../strings.ts';

const { releaseTab: R } = T;

const pathOf = (agent: Agent): string => `/agents/${encodeURIComponent(agent.id)}/profile`;

/** What an agent finds is reported within this time, as a rule. */
const REPORTED_AFTER_MS = 2_000;

interface MeasuredProps {
  readonly agent: Agent;
  /** Of its last measurement; null: none in this session. */
  readonly measuredAt: string | null;
  readonly isChanged: boolean;
  readonly again: () => void;
}

/** When it measured, and "Measure now" for those who may. */
export function Measured({ agent, measuredAt, isChanged, again }: MeasuredProps): JSX.Element {
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  const isConnected = agent.session !== null && agent.session.endedAt === null;
  const measure = (): void => {
    setProblem(null);
    send('POST', `${pathOf(agent)}/measure`).then(
      () => {
        say(R.measuring);
        setTimeout(again, REPORTED_AFTER_MS);
      },
      (error: unknown) => setProblem(problemOf(error)),
    );
  };
  return (
    <>
      {problem !== null && <Fault problem={problem} />}
      <div class="tfoot">
        <span class="grow">{measuredAt === null ? R.notMeasured : R.measured(absolute(measuredAt), isChanged)}</span>
        {may('operator') && (
          <Button isSmall why={isConnected ? undefined : R.offline} onClick={measure}>
            {R.measure}
          </Button>
        )}
      </div>
    </>
  );
}

interface RepairProps {
  readonly agent: Agent;
  /** What it shall run. */
  readonly release: string;
  readonly changedFiles: readonly string[];
}

/** "Repair…" for those who may: a rollout of its own for one agent, which follows. */
export function Repair(props: RepairProps): JSX.Element | null {
  if (!may('administrator')) return null;
  return (
    <Button onClick={() => openDialog((close) => <RepairDialog {...props} close={close} />)}>
      {T.ellipsis(R.repair)}
    </Button>
  );
}

function RepairDialog({
  agent,
  release,
  changedFiles,
  close,
}: RepairProps & { readonly close: () => void }): JSX.Element {
  const [key] = useState(() => crypto.randomUUID());
  const begun = useRef('');
  const repair = async ({ comment, ticket }: Terms): Promise<void> => {
    const query = { comment, ticket } as Terms;
    const { data } = await send<{ readonly id: string }>('POST', `${pathOf(agent)}/repair`, {
      query,
      idempotencyKey: key,
    });
    begun.current = data.id;
  };
  return (
    <PreflightDialog
      title={R.repairTitle(visible(agent.name).slice(0, 100))}
      act={R.repair}
      inputs={release}
      check={async (query) => (await send<Report>('POST', `${pathOf(agent)}/repair`, { query })).data}
      apply={repair}
      effects={() => <Callout meaning="info" title={R.repairs(release, changedFiles.length)} />}
      doneText={R.repairing}
      close={close}
      done={() => go(`/rollouts/${begun.current}`)}
    >
      <p>{R.repairText}</p>
    </PreflightDialog>
  );
}
