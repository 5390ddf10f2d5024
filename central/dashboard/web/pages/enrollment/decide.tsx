// Approves or refuses a machine that asks to enroll: its key is compared first.
import type { JSX } from 'preact';
import { send, type Terms } from '../../client/api.ts';
import type { EnrollmentRequest, Report } from '../../client/types.ts';
import { absolute, visible } from '../../format.ts';
import { Callout } from '../../parts/layout.tsx';
import { PreflightDialog } from '../../parts/preflight.tsx';
import { Facts, Foreign } from '../../parts/text.tsx';
import { T } from '../../strings.ts';

export type Decision = 'accept' | 'reject';

interface DecideDialogProps {
  readonly request: EnrollmentRequest;
  readonly decision: Decision;
  readonly close: () => void;
  readonly whenDone: () => void;
}

export function DecideDialog({ request, decision, close, whenDone }: DecideDialogProps): JSX.Element {
  const isAccept = decision === 'accept';
  const name = visible(request.name).slice(0, 100);
  const decide = async (terms: Terms): Promise<Report> => {
    const path = `/enrollment-requests/${request.keyThumbprint}/${decision}`;
    return (await send<Report>('POST', path, { query: { ...terms } })).data;
  };
  return (
    <PreflightDialog
      title={isAccept ? T.enrollment.approveTitle(name) : T.enrollment.refuseTitle(name)}
      act={isAccept ? T.enrollment.approveApply : T.enrollment.refuseApply}
      isDanger={!isAccept}
      {...(isAccept ? { tick: T.enrollment.compared } : {})}
      inputs={request.keyThumbprint}
      check={decide}
      apply={decide}
      doneText={isAccept ? T.enrollment.approved(name) : T.enrollment.refused(name)}
      close={close}
      done={whenDone}
    >
      <p>{isAccept ? T.enrollment.approveText : T.enrollment.refuseText}</p>
      <RequestFacts request={request} />
      {request.transport === 'ws' && <Callout meaning="warn" title={T.enrollment.unencrypted} />}
    </PreflightDialog>
  );
}

export function RequestFacts({ request }: { readonly request: EnrollmentRequest }): JSX.Element {
  const { name, agentId, keyThumbprint, address, transport, firstRequestedAt, lastRequestedAt } = request;
  const { facts } = T.enrollment;
  const groups = keyThumbprint.match(/.{1,4}/g) ?? [];
  return (
    <Facts
      rows={[
        [facts.name, <Foreign text={name} />],
        ...(agentId === null ? [] : [[facts.id, <Foreign text={agentId} />] as const]),
        [facts.key, <code>{groups.join(' ')}</code>],
        [
          facts.address,
          <>
            <code>{address}</code> {transport}
          </>,
        ],
        [facts.asked, T.enrollment.askedTimes(absolute(firstRequestedAt), absolute(lastRequestedAt))],
      ]}
    />
  );
}
