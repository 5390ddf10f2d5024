// Makes histories as a system that keeps its promises would leave them, with lost answers, repeated offers, repeated
// deliveries and kills; and breaks one promise in them at a place of the caller's choice. For the test of the checker.
import fc from 'fast-check';
import type { FaultKind } from './history-checker.ts';
import type { Deed } from './history.ts';

type Received = Extract<Deed, { readonly deed: 'received' }>;
type Accepted = Extract<Deed, { readonly deed: 'accepted' }>;

const LOGS = ['up a', 'up b', 'down a'] as const;
/** Who follows what: cursors of events are one sequence over all agents, those of commands are of one agent. */
const CONSUMERS: Readonly<Record<string, readonly string[]>> = {
  events: ['up a', 'up b'],
  archive: ['up a', 'up b'],
  program: ['down a'],
};

type Step =
  /** A producer offers its next message, or its unanswered one again; it may get lost on its way, or its answer. */
  | {
      readonly step: 'produce';
      readonly log: number;
      readonly producer: number;
      readonly fate: 'answered' | 'unanswered' | 'unheard';
    }
  | { readonly step: 'again'; readonly log: number; readonly producer: number }
  | { readonly step: 'consume'; readonly consumer: number; readonly most: number; readonly settle: boolean }
  | { readonly step: 'kill' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      step: fc.constant('produce' as const),
      log: fc.nat(2),
      producer: fc.nat(1),
      fate: fc.constantFrom('answered' as const, 'answered' as const, 'unanswered' as const, 'unheard' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ step: fc.constant('again' as const), log: fc.nat(2), producer: fc.nat(1) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      step: fc.constant('consume' as const),
      consumer: fc.nat(2),
      most: fc.integer({ min: 1, max: 4 }),
      settle: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ step: 'kill' as const }) },
);

/**
 * Histories with at least two answered messages of one producer in each log, so that each promise can be broken in
 * them.
 */
export const correctHistories: fc.Arbitrary<Deed[]> = fc.array(step, { maxLength: 80, size: 'max' }).map((steps) => {
  const least: Step[] = LOGS.flatMap((_, log) =>
    [0, 1].map((): Step => ({ step: 'produce', log, producer: 0, fate: 'answered' })),
  );
  return runModel([...steps, ...least]);
});

interface Entry {
  readonly message: string;
  readonly number: number;
  readonly cursor: number;
}

function runModel(steps: readonly Step[]): Deed[] {
  const deeds: Deed[] = [];
  const logs = new Map<string, Entry[]>(LOGS.map((log) => [log, []]));
  const pending = new Map<string, string>();
  const settled = new Map<string, number>();
  const made = new Map<string, number>();
  for (const [consumer, follows] of Object.entries(CONSUMERS))
    for (const log of follows) deeds.push({ deed: 'follows', consumer, log });

  const entriesOf = (log: string): Entry[] => logs.get(log) ?? [];
  const lastCursor = (log: string): number => {
    const sequence = LOGS.filter((other) => other.startsWith(log.slice(0, 2)));
    return Math.max(0, ...sequence.flatMap((other) => entriesOf(other).map(({ cursor }) => cursor)));
  };
  const ask = (log: string, producer: string, message: string, fate: 'answered' | 'unanswered' | 'unheard'): void => {
    deeds.push({ deed: 'offered', log, producer, message });
    if (fate === 'unheard') return;
    const entries = entriesOf(log);
    const known = entries.find((entry) => entry.message === message);
    const entry = known ?? { message, number: entries.length + 1, cursor: lastCursor(log) + 1 };
    if (known === undefined) entries.push(entry);
    if (fate === 'answered')
      deeds.push({
        deed: 'accepted',
        log,
        producer,
        message,
        outcome: known === undefined ? 'stored' : 'duplicate',
        number: entry.number,
      });
  };
  const consume = (consumer: string, most: number, settle: boolean): void => {
    const from = settled.get(consumer) ?? 0;
    const entries = (CONSUMERS[consumer] ?? []).flatMap((log) => entriesOf(log).map((entry) => ({ log, entry })));
    const page = entries
      .filter(({ entry }) => entry.cursor > from)
      .toSorted((a, b) => a.entry.cursor - b.entry.cursor)
      .slice(0, most);
    for (const { log, entry } of page)
      deeds.push({
        deed: 'received',
        consumer,
        log,
        message: entry.message,
        cursor: entry.cursor,
        number: log.startsWith('up') ? entry.number : null,
      });
    const last = page.at(-1);
    if (!settle || last === undefined) return;
    settled.set(consumer, last.entry.cursor);
    deeds.push({ deed: 'settled', consumer, through: last.entry.cursor });
  };

  for (const one of steps) {
    if (one.step === 'kill') deeds.push({ deed: 'killed', process: 'central' });
    else if (one.step === 'consume') consume(Object.keys(CONSUMERS)[one.consumer] ?? '', one.most, one.settle);
    else {
      const log = LOGS[one.log] ?? LOGS[0];
      const producer = `${log} p${one.producer}`;
      const count = made.get(producer) ?? 0;
      if (one.step === 'again') {
        // What was answered long ago: a duplicate.
        if (count > 1) ask(log, producer, `${producer} ${count - 2}`, 'answered');
        continue;
      }
      const message = pending.get(producer) ?? `${producer} ${count}`;
      if (!pending.has(producer)) made.set(producer, count + 1);
      ask(log, producer, message, one.fate);
      if (one.fate === 'answered') pending.delete(producer);
      else pending.set(producer, message);
    }
  }
  for (const consumer of Object.keys(CONSUMERS)) consume(consumer, Number.MAX_SAFE_INTEGER, true);
  return deeds;
}

/** One way to break a promise. `place` chooses where; the answer names the message that the checker has to accuse. */
export interface Breach {
  readonly name: string;
  readonly kind: FaultKind;
  readonly commit: (history: readonly Deed[], place: number) => { readonly deeds: Deed[]; readonly accused: string };
}

export const BREACHES: readonly Breach[] = [
  {
    name: 'an acknowledged message never comes to one of those who follow its log',
    kind: 'loss',
    commit(history, place) {
      const lost = pick(acceptedIn(history), place);
      const consumer = pick(
        Object.keys(CONSUMERS).filter((name) => CONSUMERS[name]?.includes(lost.log)),
        place,
      );
      return {
        deeds: history.filter(
          (deed) => !(deed.deed === 'received' && deed.consumer === consumer && deed.message === lost.message),
        ),
        accused: lost.message,
      };
    },
  },
  {
    name: 'a number of the log is skipped without a report',
    kind: 'loss',
    commit(history, place) {
      // The first of a log: others stand behind it.
      const lost = pick(
        receivedIn(history).filter(({ number }) => number === 1),
        place,
      );
      const deeds = history.filter(
        (deed) => !('message' in deed && deed.message === lost.message && deed.deed !== 'offered'),
      );
      const next = receivedIn(deeds)
        .filter(({ log }) => log === lost.log)
        .toSorted((a, b) => a.cursor - b.cursor)[0];
      return { deeds, accused: next?.message ?? '' };
    },
  },
  {
    name: 'a message is twice in the log',
    kind: 'duplicate',
    commit(history, place) {
      const twice = pick(receivedIn(history), place);
      return { deeds: [...history, { ...twice, cursor: beyond(history), number: null }], accused: twice.message };
    },
  },
  {
    name: 'two messages of one producer change places',
    kind: 'disorder',
    commit(history, place) {
      const first = pick(
        acceptedIn(history).filter(({ log, producer, message }, i, all) =>
          all.some(
            (other, j) => j > i && other.log === log && other.producer === producer && other.message !== message,
          ),
        ),
        place,
      );
      const messages = [
        ...new Set(
          acceptedIn(history)
            .filter(({ log, producer }) => log === first.log && producer === first.producer)
            .map(({ message }) => message),
        ),
      ];
      const at = Math.min(messages.indexOf(first.message), messages.length - 2);
      const [one = '', other = ''] = messages.slice(at);
      const changed = (message: string): string => (message === one ? other : message === other ? one : message);
      return {
        deeds: history.map((deed) =>
          deed.deed === 'received' && deed.log === first.log ? { ...deed, message: changed(deed.message) } : deed,
        ),
        accused: one,
      };
    },
  },
  {
    name: 'a consumer is given two messages the wrong way round',
    kind: 'disorder',
    commit(history, place) {
      const pairs = history.flatMap((deed, at) => {
        const next = history[at + 1];
        const fresh = (one: Deed | undefined): one is Received =>
          one?.deed === 'received' &&
          !history
            .slice(0, at)
            .some(
              (earlier) =>
                earlier.deed === 'received' && earlier.consumer === one.consumer && earlier.message === one.message,
            );
        return fresh(deed) && fresh(next) && deed.consumer === next.consumer && deed.message !== next.message
          ? [{ at, deed, next }]
          : [];
      });
      const { at, deed, next } = pick(pairs, place);
      return { deeds: [...history.slice(0, at), next, deed, ...history.slice(at + 2)], accused: deed.message };
    },
  },
  {
    name: 'what was acknowledged to a producer is stored again',
    kind: 'early-ack',
    commit(history, place) {
      const gone = pick(acceptedIn(history), place);
      return {
        deeds: [...history, { ...gone, outcome: 'stored', number: (gone.number ?? 0) + 1000 }],
        accused: gone.message,
      };
    },
  },
  {
    name: 'a number that was acknowledged is given to another message',
    kind: 'early-ack',
    commit(history, place) {
      const { log, number } = pick(acceptedIn(history), place);
      return {
        deeds: [
          ...history,
          { deed: 'offered', log, producer: 'late', message: 'late' },
          { deed: 'accepted', log, producer: 'late', message: 'late', outcome: 'stored', number },
        ],
        accused: 'late',
      };
    },
  },
  {
    name: 'what a consumer had settled comes again',
    kind: 'early-ack',
    commit(history, place) {
      const again = pick(receivedIn(history), place);
      return { deeds: [...history, again], accused: again.message };
    },
  },
  {
    name: 'a cursor that was read carries another message later',
    kind: 'early-ack',
    commit(history, place) {
      const vanished = pick(receivedIn(history), place);
      return {
        deeds: [
          ...history,
          { deed: 'offered', log: vanished.log, producer: 'late', message: 'late' },
          { ...vanished, message: 'late', number: null },
        ],
        accused: 'late',
      };
    },
  },
  {
    name: 'a message is delivered that no producer offered',
    kind: 'stranger',
    commit(history, place) {
      const model = pick(receivedIn(history), place);
      return {
        deeds: [...history, { ...model, message: 'unheard of', cursor: beyond(history), number: null }],
        accused: 'unheard of',
      };
    },
  },
];

function receivedIn(history: readonly Deed[]): Received[] {
  return history.filter((deed) => deed.deed === 'received');
}

function acceptedIn(history: readonly Deed[]): Accepted[] {
  return history.filter((deed) => deed.deed === 'accepted');
}

function beyond(history: readonly Deed[]): number {
  return Math.max(...receivedIn(history).map(({ cursor }) => cursor)) + 1;
}

function pick<T>(from: readonly T[], place: number): T {
  const found = from[place % from.length];
  if (found === undefined) throw new Error('nothing to break here');
  return found;
}
