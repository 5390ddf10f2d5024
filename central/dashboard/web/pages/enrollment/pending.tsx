// Machines that ask to enroll without a token: they are agents in the state Pending, and wait for an administrator.
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { all } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import { isUnscoped, may } from '../../client/session.ts';
import type { EnrollmentRequest } from '../../client/types.ts';
import { shortHash } from '../../format.ts';
import { Button } from '../../parts/controls.tsx';
import { openDialog } from '../../parts/dialog.tsx';
import { Card } from '../../parts/layout.tsx';
import { AgentState, Ago, ForeignLine } from '../../parts/text.tsx';
import { stateFilter } from '../../states.ts';
import { T } from '../../strings.ts';
import { DecideDialog, type Decision } from './decide.tsx';

interface PendingRow {
  readonly request: EnrollmentRequest;
  /** False: it was decided since the row came. */
  readonly isOpen: boolean;
}

interface Pending {
  readonly rows: readonly PendingRow[];
  /** Requests that came since: they would move what is shown. */
  readonly newer: number;
  readonly show: () => void;
  readonly again: () => void;
}

/** True where the state in the address is one of those that a waiting machine fits. */
export function isAboutPending(state: string): boolean {
  return state === '' || stateFilter(state)('pending');
}

/** The machines that wait; each row stays where it is until the newer ones are asked for. */
export function usePending(): Pending {
  const read = async (signal: AbortSignal): Promise<readonly EnrollmentRequest[]> =>
    isUnscoped() ? await all<EnrollmentRequest>('/enrollment-requests', {}, signal) : [];
  const { data, again } = useLoaded('enrollment-requests', read, 5);
  const [shown, setShown] = useState<readonly EnrollmentRequest[]>([]);
  const isFirst = useRef(true);
  useEffect(() => {
    if (data === undefined || !isFirst.current) return;
    isFirst.current = false;
    setShown(data);
  }, [data]);
  const open = new Set((data ?? shown).map(({ keyThumbprint }) => keyThumbprint));
  const known = new Set(shown.map(({ keyThumbprint }) => keyThumbprint));
  return {
    rows: shown.map((request) => ({ request, isOpen: open.has(request.keyThumbprint) })),
    newer: isFirst.current ? 0 : (data ?? []).filter(({ keyThumbprint }) => !known.has(keyThumbprint)).length,
    show: () => setShown(data ?? []),
    again,
  };
}

interface PendingMachinesProps {
  readonly rows: readonly PendingRow[];
  readonly again: () => void;
}

export function PendingMachines({ rows, again }: PendingMachinesProps): JSX.Element {
  const { name, state, address, key, asked } = T.enrollment.columns;
  const count = rows.filter(({ isOpen }) => isOpen).length;
  return (
    <div class="pagegap">
      <Card title={T.enrollment.title(count)} right={<span class="muted hide-phone">{T.enrollment.note}</span>}>
        <div class="tw">
          <table class="cards">
            <thead>
              <tr>
                {[name, state, address, key, asked].map((label) => (
                  <th key={label} scope="col">
                    {label}
                  </th>
                ))}
                <th scope="col">
                  <span class="sr">{T.tokens.acts}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <Row key={row.request.keyThumbprint} row={row} again={again} />
              ))}
            </tbody>
          </table>
        </div>
      </Card>
    </div>
  );
}

function Row({ row, again }: { readonly row: PendingRow; readonly again: () => void }): JSX.Element {
  const { request, isOpen } = row;
  const { name, address, transport, keyThumbprint, firstRequestedAt } = request;
  const decide = (decision: Decision): void =>
    openDialog((close) => <DecideDialog request={request} decision={decision} close={close} whenDone={again} />);
  const label = name.slice(0, 100);
  return (
    <tr class={isOpen ? '' : 'dim'}>
      <td>
        <span class="name">
          <ForeignLine text={name} />
        </span>
      </td>
      <td class="right">{isOpen ? <AgentState state="pending" /> : T.enrollment.gone}</td>
      <td class="meta" data-l="">
        <code>{address}</code> {transport}
      </td>
      <td class="meta" data-l="">
        <code title={keyThumbprint}>{shortHash(keyThumbprint, 4)} …</code>
      </td>
      <td class="wide t2">
        <Ago at={firstRequestedAt} />
      </td>
      <td class="wide">
        {isOpen && may('administrator') && (
          <span class="acts">
            <Button isSmall label={`${T.enrollment.approve} ${label}`} onClick={() => decide('accept')}>
              {T.enrollment.approve}
            </Button>
            <Button isSmall label={`${T.enrollment.refuse} ${label}`} onClick={() => decide('reject')}>
              {T.enrollment.refuse}
            </Button>
          </span>
        )}
      </td>
    </tr>
  );
}
