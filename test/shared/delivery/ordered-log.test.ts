import { describe, expect, it } from 'vitest';
import {
  decideBegin,
  decideResume,
  positionOf,
  type ReceiverRecord,
  type SenderRecord,
} from '../../../shared/delivery/ordered-log.ts';
import { keepsItsPromises, type ReceiverEnd, type SenderEnd } from './history.ts';

describe('an ordered log, over random histories', () => {
  keepsItsPromises(() => [memorySender(), memoryReceiver()], 5_000);
});

describe('decideResume', () => {
  const own: SenderRecord = { incarnation: 'A', next: 8, acknowledged: 5, acknowledgedId: 'm5', missing: null };
  const idAt = (number: number): string | undefined => (number > 5 && number < 8 ? `m${number}` : undefined);

  it('goes on behind what the peer has', () => {
    expect(decideResume(own, { incarnation: 'A', number: 6, id: 'm6' }, idAt)).toEqual({
      kind: 'resume',
      through: 6,
      missing: null,
    });
    expect(decideResume(own, { incarnation: 'A', number: 5, id: 'm5' }, idAt)).toEqual({
      kind: 'resume',
      through: 5,
      missing: null,
    });
  });

  it('restarts when the peer has less than it acknowledged, with the range that the peer lost', () => {
    expect(decideResume(own, { incarnation: 'A', number: 3, id: 'm3' }, idAt)).toEqual({
      kind: 'new-incarnation',
      missing: { from: 4, through: 5 },
    });
  });

  it('restarts when the peer has more than was ever sent', () => {
    expect(decideResume(own, { incarnation: 'A', number: 9, id: 'm9' }, idAt)).toEqual({
      kind: 'new-incarnation',
      missing: { from: 6, through: 9 },
    });
  });

  it('begins a new incarnation when the peer is at the number that was not sent yet, whatever its id', () => {
    expect(decideResume(own, { incarnation: 'A', number: 8, id: 'm8' }, (number) => `m${number}`)).toEqual({
      kind: 'new-incarnation',
      missing: { from: 6, through: 8 },
    });
  });

  it('restarts when the peer has another message at that number', () => {
    expect(decideResume(own, { incarnation: 'A', number: 6, id: 'other' }, idAt).kind).toBe('new-incarnation');
    expect(decideResume(own, { incarnation: 'A', number: 5, id: 'other' }, idAt).kind).toBe('new-incarnation');
  });

  it('restarts when the peer knows nothing of what it acknowledged', () => {
    expect(decideResume(own, null, idAt)).toEqual({ kind: 'new-incarnation', missing: { from: 1, through: 5 } });
  });

  it('says what is missing when it finds itself with an empty log before a peer that has more', () => {
    const empty: SenderRecord = { incarnation: 'B', next: 1, acknowledged: 0, acknowledgedId: null, missing: null };
    expect(decideResume(empty, { incarnation: 'A', number: 7, id: 'm7' }, idAt)).toEqual({
      kind: 'resume',
      through: 0,
      missing: { from: 1, through: 7 },
    });
    expect(decideResume(empty, null, idAt)).toEqual({ kind: 'resume', through: 0, missing: null });
  });
});

describe('decideBegin', () => {
  const own: ReceiverRecord = { incarnation: 'A', number: 5, id: 'm5' };

  it('goes on with the next number of the same incarnation', () => {
    expect(decideBegin(own, { incarnation: 'A', next: 6, missing: null })).toEqual({ kind: 'continue' });
  });

  it('calls a gap and a step back violations', () => {
    for (const next of [1, 5, 7])
      expect(decideBegin(own, { incarnation: 'A', next, missing: null })).toEqual({
        kind: 'violation',
        found: `begin at ${next}, where 6 is next`,
      });
  });

  it('starts another incarnation at 1 only, and notes whether something is missing', () => {
    expect(decideBegin(own, { incarnation: 'B', next: 1, missing: null })).toEqual({ kind: 'reset', recovered: true });
    expect(decideBegin(own, { incarnation: 'B', next: 1, missing: { from: 6, through: 9 } })).toEqual({
      kind: 'reset',
      recovered: false,
    });
    expect(decideBegin(own, { incarnation: 'B', next: 2, missing: null })).toEqual({
      kind: 'violation',
      found: 'begin at 2 of an incarnation that is new here, where 1 is next',
    });
  });
});

describe('positionOf', () => {
  it('is null until the receiver has a message of this incarnation, with its id', () => {
    const position = { incarnation: 'A', number: 5, id: 'm5' };
    expect(positionOf(position)).toEqual(position);
    expect(positionOf({ ...position, incarnation: null })).toBeNull();
    expect(positionOf({ ...position, id: null })).toBeNull();
    expect(positionOf({ ...position, number: 0 })).toBeNull();
  });
});

function memorySender(): SenderEnd {
  let incarnations = 0;
  let record: SenderRecord & { readonly items: readonly string[] } = {
    incarnation: 'I0',
    next: 1,
    acknowledged: 0,
    acknowledgedId: null,
    missing: null,
    items: [],
  };
  const idAt = (number: number): string | undefined => record.items[number - record.acknowledged - 1];
  const acknowledge = (through: number): void => {
    if (through <= record.acknowledged) return;
    const acknowledgedId = idAt(through) ?? null;
    record = {
      ...record,
      acknowledged: through,
      acknowledgedId,
      missing: null,
      items: record.items.slice(through - record.acknowledged),
    };
  };
  return {
    append(ids) {
      record = { ...record, next: record.next + ids.length, items: [...record.items, ...ids] };
    },
    resume(peer) {
      const decision = decideResume(record, peer, idAt);
      if (decision.kind === 'resume') {
        acknowledge(decision.through);
        record = { ...record, missing: decision.missing };
        return { incarnation: record.incarnation, next: record.acknowledged + 1, missing: decision.missing };
      }
      // Random in the product: no name comes twice, whatever is restored.
      incarnations += 1;
      record = {
        incarnation: `I${incarnations}`,
        next: record.items.length + 1,
        acknowledged: 0,
        acknowledgedId: null,
        missing: decision.missing,
        items: record.items,
      };
      return { incarnation: record.incarnation, next: 1, missing: decision.missing };
    },
    read: (after, max) =>
      record.items
        .slice(after - record.acknowledged, after - record.acknowledged + max)
        .map((id, index) => ({ number: after + 1 + index, id, tombstone: false })),
    acknowledge,
    expire: () => [],
    snapshot() {
      const copy = record;
      return () => {
        record = copy;
      };
    },
  };
}

function memoryReceiver(): ReceiverEnd {
  let state: ReceiverRecord & { readonly log: readonly string[] } = { incarnation: null, number: 0, id: null, log: [] };
  return {
    position: () => positionOf(state),
    begin(begin) {
      const decision = decideBegin(state, begin);
      if (decision.kind === 'violation') throw new Error(decision.found);
      if (decision.kind === 'reset') state = { ...state, incarnation: begin.incarnation, number: 0, id: null };
      return decision.kind === 'reset' && !decision.recovered;
    },
    accept(first, items) {
      if (first !== state.number + 1) throw new Error(`${first} after ${state.number}`);
      const fresh = items.map((item) => item.id).filter((id) => !state.log.includes(id));
      state = {
        ...state,
        number: state.number + items.length,
        id: items.at(-1)?.id ?? state.id,
        log: [...state.log, ...fresh],
      };
      return state.number;
    },
    log: () => [...state.log],
    snapshot() {
      const copy = state;
      return () => {
        state = copy;
      };
    },
  };
}
