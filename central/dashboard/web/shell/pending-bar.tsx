// The bar of a pending change: how long is left, who is back, Roll back now, Confirm. On every page.
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { centralNow, problemOf, Refused, send } from '../client/api.ts';
import { useTick } from '../client/clock.ts';
import { endedChange, leftOf, neededOf, pendingChange, readPending } from '../client/pending.ts';
import { may } from '../client/session.ts';
import { useStore } from '../client/store.ts';
import type { Change, ProblemDocument } from '../client/types.ts';
import { visible } from '../format.ts';
import { Button } from '../parts/controls.tsx';
import { Icon } from '../parts/icon.tsx';
import { Bar, Fault } from '../parts/layout.tsx';
import { Foreign } from '../parts/text.tsx';
import { announce, say } from '../parts/toast.tsx';
import { T } from '../strings.ts';

export function PendingBar(): JSX.Element | null {
  const change = useStore(pendingChange);
  const ended = useStore(endedChange);
  useEffect(() => {
    if (ended !== null) say(ended.state === 'confirmed' ? T.confirmed : T.rolledBack);
  }, [ended]);
  return change === null ? null : <Pending change={change} />;
}

/** Announced at these, and not each second. */
const ANNOUNCED_SECONDS = [120, 30];

function Pending({ change }: { readonly change: Change }): JSX.Element {
  useTick();
  const bar = useRef<HTMLElement>(null);
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  const left = leftOf(change);
  const needed = neededOf(change);
  const missing = Math.max(0, needed - change.returnedCount);
  const seconds = Math.ceil((Date.parse(change.expiresAt) - centralNow()) / 1000);
  const lastSeconds = useRef(seconds);
  useEffect(() => {
    const passed = ANNOUNCED_SECONDS.find((at) => lastSeconds.current > at && seconds <= at);
    lastSeconds.current = seconds;
    if (passed !== undefined) announce(T.timeLeft(left));
  }, [seconds, left]);
  useEffect(() => {
    const before = document.title;
    return () => {
      document.title = before;
    };
  }, []);
  useEffect(() => {
    document.title = `${left} · ${document.title.replace(/^\d\d:\d\d · /, '')}`;
    document.documentElement.style.setProperty('--pend', `${bar.current?.offsetHeight ?? 0}px`);
  }, [left]);
  const elsewhere = newAddressOf(change);
  const act = (verb: 'confirm' | 'rollback'): void => {
    setProblem(null);
    (verb === 'confirm' ? confirm(change) : send<Change>('POST', `/changes/${change.id}/${verb}`))
      .then(() => readPending())
      .catch((error: unknown) => setProblem(problemOf(error)));
  };
  return (
    <section class="pend" aria-label={T.pending} ref={bar}>
      <Icon name="clock" />
      <span class="clock" aria-hidden="true">
        {left}
      </span>
      <div class="grow">
        <div>
          <b>{T.rollsBack}</b> <What change={change} />
        </div>
        <div class="q">
          {T.pendingBack(change.returnedCount, change.agentCount, needed)}{' '}
          <Foreign text={T.appliedBy(change.changedBy, change.ticket ?? '')} />
          {change.confirmOver !== null && ` ${T.confirmOver(change.confirmOver.toUpperCase())}`}
        </div>
        {problem !== null && <Fault problem={problem} />}
      </div>
      {change.agentCount > 0 && (
        <div class="track">
          <Bar
            parts={[
              { meaning: 'ok', count: change.returnedCount, label: 'back' },
              { meaning: 'none', count: Math.max(0, change.agentCount - change.returnedCount), label: 'not back' },
            ]}
          />
        </div>
      )}
      {may('administrator') && (
        <div class="acts">
          <Button icon="undo" onClick={() => act('rollback')}>
            {T.rollBackNow}
          </Button>
          {elsewhere === null ? (
            <Button kind="primary" why={missing > 0 ? T.moreNeeded(missing) : undefined} onClick={() => act('confirm')}>
              {T.confirm}
            </Button>
          ) : (
            <a class="btn primary" href={elsewhere}>
              {T.openNewAddress}
            </a>
          )}
        </div>
      )}
    </section>
  );
}

/** What is pending: the first value, and how many others. */
function What({ change }: { readonly change: Change }): JSX.Element {
  const [first, ...others] = change.changed;
  if (change.subject !== 'parameters' || first === undefined)
    return <>{T.pendingSubjects[change.subject] ?? change.subject}</>;
  return (
    <>
      <code>{first.name}</code> <span class="from">{textOf(first.from)}</span> →{' '}
      <span class="to">{textOf(first.to)}</span>
      {others.length > 0 && ` ${T.andOthers(others.length)}`}
    </>
  );
}

function textOf(value: unknown): string {
  return visible(Array.isArray(value) ? value.join(', ') : String(value)).slice(0, 64);
}

/**
 * Where the change can be confirmed, if not from the address of this page: another listener, or the port that it moved
 * to. The cookie of the session is that of the host, whatever the port.
 */
function newAddressOf({ confirmOver, changed }: Change): string | null {
  if (confirmOver === null) return null;
  const moved = changed.find(({ name }) => name === `${confirmOver}.port`)?.to;
  const isHere = location.protocol === `${confirmOver}:`;
  const port = typeof moved === 'number' ? String(moved) : isHere ? location.port : null;
  if (port === null || (isHere && port === location.port)) return null;
  return `${confirmOver}://${location.hostname}:${port}${location.pathname}${location.search}`;
}

/** More than the connections that a browser keeps to one host (6). */
const MAX_ATTEMPTS = 8;

/** A connection from before the change does not count, and Central closes it with its refusal: the next one is new. */
async function confirm(change: Change): Promise<unknown> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await send<Change>('POST', `/changes/${change.id}/confirm`);
    } catch (error) {
      const isOld = error instanceof Refused && error.problem.code === 'confirm_over_new_connection';
      if (!isOld || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}
