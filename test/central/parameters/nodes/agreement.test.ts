// Three nodes that agree on a change through a feed in memory: who is asked, who is waited for, and what is kept until when.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Agreement, ANSWER_MS, type Participant } from '../../../../central/parameters/nodes/agreement.ts';
import type { ParameterFault } from '../../../../central/parameters/errors.ts';
import type { NodeRecord, NodeStore, SharedChange } from '../../../../central/store/nodes/node-store.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const TAKEN: ParameterFault = { parameter: 'services.port', found: '1', allowed: 'free', text: 'Port 1 is taken.' };
const CHANGE = { version: 3, rows: [{ name: 'services.port', value: '1' }], isDryRun: false };
const READY = { answer: 'ready', detail: null };

type Notes = (notes: readonly SharedChange[]) => void;

interface TestNode {
  readonly agreement: Agreement;
  readonly participant: Participant & { faults: readonly ParameterFault[]; readonly seen: string[] };
  /** Hears nothing, and says nothing. */
  isFrozen: boolean;
}

/** Nodes, and the feed between them. */
class World {
  records: NodeRecord[] = [];
  holder: string | null = null;
  isAway = false;
  readonly nodes = new Map<string, TestNode>();
  readonly #heard = new Map<string, () => void>();
  readonly #notes = new Map<string, Notes>();

  add(name: string): TestNode {
    this.records.push({ name, generation: 1, state: 'alive', appliedParameters: 3 } as NodeRecord);
    const seen: string[] = [];
    const participant = {
      faults: [] as readonly ParameterFault[],
      seen,
      prepare: async () => {
        seen.push('prepare');
        return participant.faults;
      },
      release: () => void seen.push('release'),
      look: async () => void seen.push('look'),
    };
    const after = (ms: number, run: () => void): (() => void) => {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    };
    const agreement = new Agreement({
      store: this.#store(name),
      nodes: {
        list: () => this.records,
        hurry: () => undefined,
        onHeard: (listener) => void this.#heard.set(name, () => listener(this.records)),
        onParameterNotes: (listener) => void this.#notes.set(name, listener),
      },
      log: { warn: () => undefined },
      clock: () => Date.now(),
      after,
    });
    agreement.serve(participant);
    const node: TestNode = { agreement, participant, isFrozen: false };
    this.nodes.set(name, node);
    return node;
  }

  /** What the store says of a node from now on. */
  set(name: string, more: Partial<NodeRecord>): void {
    this.records = this.records.map((record) => (record.name === name ? { ...record, ...more } : record));
    for (const [of, listener] of this.#heard) if (this.nodes.get(of)?.isFrozen === false) listener();
  }

  #store(name: string): Pick<NodeStore, 'hold' | 'release' | 'self' | 'tell'> {
    return {
      self: { name, generation: 1 },
      hold: async () => {
        const { holder } = this;
        if (holder !== null && holder !== name) return { holder, nodes: this.records };
        this.holder = name;
        return { holder: null, nodes: this.records };
      },
      release: async () => {
        if (this.isAway) throw new Error('the store is away');
        this.holder = null;
      },
      tell: async (notes) => {
        const told = notes.map((note) => ({ ...note, isDeleted: false, labelsBefore: null }));
        for (const [of, listener] of this.#notes)
          if (of !== name && this.nodes.get(of)?.isFrozen === false) queueMicrotask(() => listener(told));
      },
    };
  }
}

function three(): { world: World; a: TestNode; b: TestNode; c: TestNode } {
  const world = new World();
  return { world, a: world.add('a'), b: world.add('b'), c: world.add('c') };
}

/** Lets so much time pass, and whatever is due happen. */
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

describe('nodes that agree on a change', () => {
  it('ask each other, and keep what they need until it is said that the change is not made', async () => {
    const { a, b, c } = three();
    const agreed = await a.agreement.ask(CHANGE);
    expect(agreed.answers).toEqual([
      { name: 'b', ...READY },
      { name: 'c', ...READY },
    ]);
    expect([b.participant.seen, c.participant.seen]).toEqual([['prepare'], ['prepare']]);
    await a.agreement.forget(agreed);
    await pass(0);
    expect(b.participant.seen).toEqual(['prepare', 'release']);
  });

  it('say which of them cannot, without a wait for the others; a dry run waits for all', async () => {
    const { a, b, c } = three();
    b.participant.faults = [TAKEN];
    const asked = await a.agreement.ask(CHANGE);
    expect(asked.answers[0]).toEqual({ name: 'b', answer: 'refused', detail: 'Port 1 is taken.' });
    const { answers } = await a.agreement.ask({ ...CHANGE, isDryRun: true });
    expect(answers).toEqual([
      { name: 'b', answer: 'refused', detail: 'Port 1 is taken.' },
      { name: 'c', ...READY },
    ]);
    expect(c.participant.seen).not.toContain('release');
  });

  it('do not wait for one that is given up as dead, and call one silent that is alive and does not answer', async () => {
    const { world, a, b } = three();
    b.isFrozen = true;
    const asked = a.agreement.ask(CHANGE);
    await pass(6_000);
    world.set('b', { state: 'dead', generation: 2 });
    expect((await asked).answers).toEqual([{ name: 'c', ...READY }]);
    world.set('b', { state: 'alive' });
    const again = a.agreement.ask(CHANGE);
    await pass(ANSWER_MS);
    expect((await again).answers[0]).toEqual({ name: 'b', answer: 'silent', detail: null });
  });

  it('ask one that starts meanwhile', async () => {
    const { world, a, b } = three();
    b.isFrozen = true;
    const asked = a.agreement.ask(CHANGE);
    await pass(500);
    const d = world.add('d');
    await pass(500);
    world.set('b', { state: 'stopped' });
    expect((await asked).answers.map(({ name }) => name)).toEqual(['c', 'd']);
    expect(d.participant.seen).toEqual(['prepare']);
  });

  it('keep nothing for a node that is gone, or late', async () => {
    const { world, a, b, c } = three();
    await a.agreement.ask(CHANGE);
    world.set('a', { state: 'dead', generation: 2 });
    expect(b.participant.seen).toEqual(['prepare', 'release']);
    world.set('a', { state: 'alive', generation: 1 });
    await a.agreement.ask(CHANGE);
    await pass(2 * ANSWER_MS);
    world.set('c', {});
    expect(c.participant.seen.at(-1)).toBe('release');
  });

  it('wait until each applies the version, or says why it cannot', async () => {
    const { world, a, b } = three();
    const agreed = await a.agreement.ask(CHANGE);
    const applied = a.agreement.applied(4, agreed.asked);
    world.set('b', { appliedParameters: 4 });
    await pass(300);
    world.set('c', { appliedParameters: 4 });
    expect(await applied).toEqual([]);
    const next = a.agreement.applied(5);
    await b.agreement.failed(5, 'The port is taken.');
    await pass(300);
    expect(await next).toEqual([{ name: 'b', answer: 'refused', detail: 'The port is taken.' }]);
  });

  it('make changes one after the other, and say who has the turn when it takes too long', async () => {
    const { world, a, b } = three();
    const order: string[] = [];
    const slow = a.agreement.inTurn(async () => {
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      order.push('a');
    });
    const second = b.agreement.inTurn(async () => void order.push('b'));
    await pass(1_200);
    await Promise.all([slow, second]);
    expect(order).toEqual(['a', 'b']);
    world.holder = 'c';
    const refused = a.agreement.inTurn(async () => undefined).catch((error: unknown) => error);
    await pass(3 * ANSWER_MS);
    expect(await refused).toMatchObject({
      code: 'change_in_progress',
      message: expect.stringContaining('node c'),
    });
  });

  it('give the turn back as soon as the store is there again, and read then what became of the change', async () => {
    const { world, a, b } = three();
    world.isAway = true;
    const failed = a.agreement.inTurn(() => Promise.reject(new Error('no answer')));
    await expect(failed).rejects.toThrow('no answer');
    await pass(1_500);
    expect([world.holder, a.participant.seen]).toEqual(['a', []]);
    world.isAway = false;
    await pass(1_000);
    expect([world.holder, a.participant.seen]).toEqual([null, ['look']]);
    expect(await b.agreement.inTurn(async () => 'made')).toBe('made');
    expect(b.participant.seen).toEqual([]);
  });
});
