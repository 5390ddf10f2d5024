// One entry of the audit log with all that it says; its number is in the address.
import type { JSX } from 'preact';
import { useLoaded } from '../../client/loaded.ts';
import { absolute } from '../../format.ts';
import { Button } from '../../parts/controls.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import { Empty, Fault, SkeletonCard } from '../../parts/layout.tsx';
import { Facts, Foreign, None } from '../../parts/text.tsx';
import { T } from '../../strings.ts';
import { readEntry, type AuditEntry } from './entries.ts';

interface EntryDialogProps {
  readonly number: string;
  readonly close: () => void;
}

export function EntryDialog({ number, close }: EntryDialogProps): JSX.Element {
  const isNumber = /^[1-9]\d{0,14}$/.test(number);
  const { data, problem } = useLoaded(`entry ${number}`, async (signal) =>
    isNumber ? await readEntry(number, signal) : null,
  );
  const title = isNumber ? T.audit.entry(Number(number)) : T.audit.title;
  return (
    <Dialog title={title} onClose={close} foot={<Button onClick={close}>{T.close}</Button>}>
      {data === null ? (
        <Empty icon="search" title={T.audit.unknown(isNumber ? number : '')} />
      ) : data !== undefined ? (
        <EntryFacts entry={data} />
      ) : problem === undefined ? (
        <SkeletonCard lines={6} />
      ) : (
        <Fault problem={problem} />
      )}
    </Dialog>
  );
}

function EntryFacts({ entry }: { readonly entry: AuditEntry }): JSX.Element {
  const { createdAt, actor, address, action, target, comment, ticket, detail, hash } = entry;
  const { time, who, from, act, ...columns } = T.audit.columns;
  const foreign = (text: string | null): JSX.Element =>
    text === null || text === '' ? <None /> : <Foreign text={text} />;
  return (
    <Facts
      rows={[
        [time, absolute(createdAt)],
        [who, foreign(actor)],
        [from, <code>{foreign(address)}</code>],
        [act, <code>{foreign(action)}</code>],
        [columns.target, foreign(target)],
        [columns.comment, foreign(comment)],
        [columns.ticket, foreign(ticket)],
        [T.audit.detail, <code>{foreign(typeof detail === 'string' ? detail : JSON.stringify(detail))}</code>],
        [T.audit.entryHash, <code>{hash}</code>],
      ]}
    />
  );
}
