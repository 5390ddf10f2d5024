// Runs random histories of one direction between a sender and a receiver, with cuts at every step, crashes and restores
// of older states, and checks the outcome (docs/RELIABILITY.md, promises 2, 3 and 7). Knows neither SQL nor memory:
// both ends are ports.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Position, Range } from '../../../shared/wire/messages.ts';

export interface SentItem {
  readonly number: number;
  readonly id: string;
  readonly tombstone: boolean;
}

export interface SenderEnd {
  append(ids: readonly string[]): void;
  resume(peer: Position | null): {
    readonly incarnation: string;
    readonly next: number;
    readonly missing: Range | null;
  };
  read(after: number, max: number): SentItem[];
  acknowledge(through: number): void;
  /** Gives up what may be given up; the ids. */
  expire(): string[];
  /** What a copy of its disk would bring back. */
  snapshot(): () => void;
}

export interface ReceiverEnd {
  position(): Position | null;
  /** True when messages may be missing. Throws when the sender breaks the rules. */
  begin(begin: { readonly incarnation: string; readonly next: number; readonly missing: Range | null }): boolean;
  accept(first: number, items: readonly SentItem[]): number;
  /** Ids of the messages in its log, in order. */
  log(): string[];
  snapshot(): () => void;
}

/** How far one exchange gets before the line is cut or one side is killed. */
type Connect = 'resumed' | 'begun' | 'connected';
type Transfer = 'sent' | 'accepted' | 'acknowledged';

export type Step =
  | { readonly step: 'append'; readonly count: number }
  | { readonly step: 'connect'; readonly until: Connect }
  | { readonly step: 'transfer'; readonly count: number; readonly until: Transfer }
  | { readonly step: 'expire' }
  | { readonly step: 'snapshot'; readonly side: Side }
  | { readonly step: 'restore'; readonly side: Side; readonly which: number };

type Side = 'sender' | 'receiver';

const side = fc.constantFrom<Side>('sender', 'receiver');
const everyday: fc.Arbitrary<Step>[] = [
  fc.record({ step: fc.constant('append'), count: fc.integer({ min: 1, max: 4 }) }),
  fc.record({
    step: fc.constant('connect'),
    until: fc.constantFrom<Connect>('resumed', 'begun', 'connected', 'connected', 'connected'),
  }),
  fc.record({
    step: fc.constant('transfer'),
    count: fc.integer({ min: 1, max: 5 }),
    until: fc.constantFrom<Transfer>('sent', 'accepted', 'acknowledged', 'acknowledged'),
  }),
  fc.record({ step: fc.constant('expire') }),
];
const restores: fc.Arbitrary<Step>[] = [
  fc.record({ step: fc.constant('snapshot'), side }),
  fc.record({ step: fc.constant('restore'), side, which: fc.nat(9) }),
];

/** Cut lines and kills only: what is on disk stays there. */
const crashHistories = fc.array(fc.oneof(...everyday), { maxLength: 60, size: 'max' });
/** Disks go back in time as well. */
const restoreHistories = fc.array(fc.oneof(...everyday, ...everyday, ...restores), {
  maxLength: 60,
  size: 'max',
});

export interface Outcome {
  /** What producers got an acknowledgement for, in order. */
  readonly appended: string[];
  readonly received: string[];
  readonly expired: ReadonlySet<string>;
  /** How often the receiver recorded `recovered: false`. */
  readonly incidents: number;
  /** Ids that no incident on the receiver's disk speaks of, though they are neither in its log nor still to come. */
  readonly lostSilently: string[];
}

/** Runs the steps, then a last undisturbed connection that delivers everything. */
function run(sender: SenderEnd, receiver: ReceiverEnd, steps: readonly Step[]): Outcome {
  const appended: string[] = [];
  const expired = new Set<string>();
  /** What the sender's disk forgot in a restore before anybody else had it: no one can see that it is missing. */
  const forgotten = new Set<string>();
  /** What the incidents on the receiver's disk speak of; goes back in time with it. */
  let promised: ReadonlySet<string> = new Set();
  const snapshots = { sender: [takeSender()], receiver: [takeReceiver()] };
  let sent: number | undefined;
  let incidents = 0;

  function takeSender(): () => void {
    const restore = sender.snapshot();
    const known = appended.length;
    return () => {
      restore();
      for (const id of appended.slice(known)) forgotten.add(id);
    };
  }

  function takeReceiver(): () => void {
    const restore = receiver.snapshot();
    const promisedThen = promised;
    return () => {
      restore();
      promised = promisedThen;
    };
  }

  function missing(next: number): string[] {
    const there = new Set([
      ...receiver.log(),
      ...sender.read(next - 1, Number.MAX_SAFE_INTEGER).map((item) => item.id),
    ]);
    return appended.filter((id) => !there.has(id));
  }

  function connect(until: Connect): void {
    sent = undefined;
    const log = sender.resume(receiver.position());
    if (until === 'resumed') return;
    if (receiver.begin(log)) {
      incidents += 1;
      promised = new Set([...promised, ...missing(log.next)]);
    }
    if (until === 'begun') return;
    sent = log.next - 1;
  }

  function transfer(count: number, until: Transfer): boolean {
    if (sent === undefined) return false;
    const items = sender.read(sent, count);
    const first = items[0];
    if (first === undefined) return false;
    if (first.number !== sent + 1) throw new Error(`gap: ${first.number} after ${sent}`);
    sent += items.length;
    if (until === 'sent') sent = undefined;
    else {
      const through = receiver.accept(first.number, items);
      if (until === 'accepted') sent = undefined;
      else sender.acknowledge(through);
    }
    return true;
  }

  for (const step of steps) {
    if (step.step === 'append') {
      const ids = Array.from({ length: step.count }, (_, index) => `m${appended.length + index}`);
      sender.append(ids);
      appended.push(...ids);
    } else if (step.step === 'connect') connect(step.until);
    else if (step.step === 'transfer') transfer(step.count, step.until);
    else if (step.step === 'expire') for (const id of sender.expire()) expired.add(id);
    else if (step.step === 'snapshot')
      snapshots[step.side].push(step.side === 'sender' ? takeSender() : takeReceiver());
    else {
      sent = undefined;
      snapshots[step.side][step.which % snapshots[step.side].length]?.();
    }
  }
  connect('connected');
  while (transfer(100, 'acknowledged'));

  const received = receiver.log();
  const there = new Set(received);
  const lostSilently = appended.filter(
    (id) => !there.has(id) && !expired.has(id) && !forgotten.has(id) && !promised.has(id),
  );
  return { appended, received, expired, incidents, lostSilently };
}

/** Without restores: everything once, in order, and no false alarm. Returns what is wrong. */
function checkCrashes(outcome: Outcome): string[] {
  const found = checkRestores(outcome);
  const kept = outcome.received.filter((id) => !outcome.expired.has(id));
  const expected = outcome.appended.filter((id) => !outcome.expired.has(id));
  if (kept.join() !== expected.join()) found.push(`disorder: ${kept.join()} instead of ${expected.join()}`);
  if (outcome.incidents > 0) found.push(`${outcome.incidents} incidents without a restore`);
  return found;
}

/** Whatever happens: nothing twice in the log, and no loss without a report. Returns what is wrong. */
function checkRestores(outcome: Outcome): string[] {
  const found: string[] = [];
  const there = new Set(outcome.received);
  if (there.size !== outcome.received.length) found.push(`duplicates: ${outcome.received.join()}`);
  if (outcome.lostSilently.length > 0) found.push(`lost silently: ${outcome.lostSilently.join()}`);
  return found;
}

/** The two promises of an ordered log, over random histories of both ends. */
export function keepsItsPromises(open: () => readonly [SenderEnd, ReceiverEnd], numRuns: number): void {
  it('delivers everything once and in order through cuts and kills at any step', () => {
    fc.assert(
      fc.property(crashHistories, (steps) => {
        expect(checkCrashes(run(...open(), steps))).toEqual([]);
      }),
      { numRuns },
    );
  });

  it('loses nothing silently and stores nothing twice when either disk goes back in time', () => {
    fc.assert(
      fc.property(restoreHistories, (steps) => {
        expect(checkRestores(run(...open(), steps))).toEqual([]);
      }),
      { numRuns },
    );
  });
}
