// The mark above the audit log: whether its chain is unbroken, since when that is known here, and the newest hash.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { centralNow, problemOf, send } from '../../client/api.ts';
import { may } from '../../client/session.ts';
import { store, useStore } from '../../client/store.ts';
import type { ProblemDocument } from '../../client/types.ts';
import { absolute, shortHash } from '../../format.ts';
import { Button, Field } from '../../parts/controls.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import { Callout, Fault } from '../../parts/layout.tsx';
import { Copy, Hint } from '../../parts/text.tsx';
import { announce } from '../../parts/toast.tsx';
import { T } from '../../strings.ts';
import type { AuditEntry } from './entries.ts';

interface Verification {
  readonly valid: boolean;
  readonly entryCount: number;
  readonly head: string | null;
  readonly faults: readonly { readonly code: string; readonly detail: string; readonly hint: string }[];
}

interface Verified {
  readonly isBusy: boolean;
  readonly found: Verification | null;
  readonly at: number;
  readonly problem: ProblemDocument | null;
}

/** Kept while other pages are shown. */
const verified = store<Verified>({ isBusy: false, found: null, at: 0, problem: null });

/** Lets Central verify all entries. `head`: a hash that was written down earlier. */
export async function verify(head?: string): Promise<void> {
  const before = verified.get();
  if (before.isBusy) return;
  verified.set({ ...before, isBusy: true, problem: null });
  try {
    const body = head === undefined ? {} : { head };
    const { data } = await send<Verification>('POST', '/audit/verify', { body });
    const at = centralNow();
    verified.set({ isBusy: false, found: data, at, problem: null });
    announce(titleOf(data, at));
  } catch (error) {
    verified.set({ ...before, isBusy: false, problem: problemOf(error) });
  }
}

function titleOf({ valid, entryCount, faults }: Verification, at: number): string {
  return valid ? T.audit.unbroken(entryCount, absolute(at).slice(11)) : T.audit.broken(faults.length);
}

export function VerifiedMark({ newest }: { readonly newest: AuditEntry | undefined }): JSX.Element {
  const { found, at, isBusy, problem } = useStore(verified);
  const head = found?.head ?? newest?.hash ?? null;
  const title = isBusy
    ? T.audit.verifying
    : found === null
      ? T.audit.notVerified(newest?.number ?? 0)
      : titleOf(found, at);
  return (
    <div class="pagegap">
      <Callout meaning={found === null || isBusy ? 'info' : found.valid ? 'ok' : 'bad'} title={title}>
        {(found?.faults ?? []).map(({ code, detail, hint }) => (
          <p key={detail}>
            {detail} <Hint text={hint} /> (<code>{code}</code>)
          </p>
        ))}
        {head !== null && (
          <p class="hash">
            {T.audit.newest} <code title={head}>{shortHash(head, 4)}</code>
            <Copy text={head} label={T.copyOf(head)} /> {T.audit.newestNote}
          </p>
        )}
        {problem !== null && <Fault problem={problem} />}
      </Callout>
    </div>
  );
}

export function VerifyButton(): JSX.Element | null {
  const { isBusy } = useStore(verified);
  if (!may('administrator')) return null;
  return (
    <Button why={isBusy ? T.audit.verifying : undefined} onClick={() => void verify()}>
      {T.audit.verify}
    </Button>
  );
}

const HASH = /^[0-9a-f]{64}$/;

export function CompareDialog({ close }: { readonly close: () => void }): JSX.Element {
  const [text, setText] = useState('');
  const hash = text.replaceAll(/\s/g, '').toLowerCase();
  const compare = (): void => {
    close();
    void verify(hash);
  };
  return (
    <Dialog
      title={T.audit.compareTitle}
      sub={T.audit.compareSub}
      onClose={close}
      foot={
        <>
          <Button onClick={close}>{T.cancel}</Button>
          <Button kind="primary" why={HASH.test(hash) ? undefined : T.audit.hashHint} onClick={compare}>
            {T.audit.verify}
          </Button>
        </>
      }
    >
      <Field label={T.audit.hash} hint={T.audit.hashHint} value={text} maxLength={200} onInput={setText} />
    </Dialog>
  );
}
