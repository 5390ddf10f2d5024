// Two nodes on one store: what agents at the node that does not lead do reaches the rollout, and what it sends reaches
// them, also while the lead moves and sessions come and go.
import { describe, expect, it } from 'vitest';
import { RolloutEngine, type EngineSession } from '../../../central/rollouts/engine.ts';
import { createOffers } from '../../../central/rollouts/offers.ts';
import { RolloutRelay } from '../../../central/rollouts/relay.ts';
import type { NodeNote, NodeRecord } from '../../../central/store/nodes/node-store.ts';
import { openInstruction } from '../../../shared/releases/instruction.ts';
import { ENTRY, FakeAgent, KEYS, sqlStore } from './fleet.ts';
import { NOW, RELEASE, rolloutOf } from './samples.ts';

interface Node {
  readonly name: string;
  readonly relay: RolloutRelay;
  readonly engine: RolloutEngine;
  readonly sessions: Map<string, EngineSession>;
}

/** Two nodes, `a` leads; agents are where the test connects them. */
class Nodes {
  now = NOW;
  leader = 'a';
  generation = 1;
  /** What one tells the other is lost. */
  isLossy = false;
  readonly told: NodeNote[] = [];
  readonly dead = new Set<string>();
  readonly store = sqlStore(() => undefined);
  readonly agents = new Map<string, FakeAgent>();
  readonly a = this.#create('a');
  readonly b = this.#create('b');
  #sessions = 0;

  constructor(ids: readonly string[]) {
    for (const id of ids) {
      this.store.addAgent(id);
      this.agents.set(id, new FakeAgent(id));
    }
  }

  #create(name: 'a' | 'b'): Node {
    const sessions = new Map<string, EngineSession>();
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const shared = { store: this.store, log, now: () => this.now };
    const offers = createOffers({
      signingKey: { key: KEYS.privateKey, fingerprint: 'sha256:test' },
      tickets: { issue: () => `ticket-of-${name}` },
      steady: () => this.now,
    });
    const relay = new RolloutRelay({
      ...shared,
      offers,
      sessions: { of: (id) => sessions.get(id) },
      nodes: { self: name, leads: () => this.leader === name, list: () => this.#records() },
      tell: async (notes) => {
        this.told.push(...notes);
        if (this.isLossy) return;
        const other = name === 'a' ? this.b : this.a;
        await other.relay.follow(notes.map((note) => ({ ...note, isDeleted: false, labelsBefore: null })));
      },
    });
    const engine = new RolloutEngine({
      ...shared,
      offers,
      relay,
      sessionOf: (id) => sessions.get(id) ?? relay.sessionOf(id),
    });
    relay.serve(engine);
    return { name, relay, engine, sessions };
  }

  #records(): NodeRecord[] {
    return ['a', 'b'].map((name) => ({
      ...({} as NodeRecord),
      name,
      generation: this.generation,
      state: this.dead.has(name) ? 'dead' : 'alive',
      leads: name === this.leader,
    }));
  }

  async lead(name: 'a' | 'b'): Promise<void> {
    await this[this.leader as 'a' | 'b'].engine.stop();
    this.leader = name;
    this.generation += 1;
    await this[name].engine.start();
    await this.settle();
  }

  connect(id: string, node: Node): void {
    const agent = this.agents.get(id);
    if (agent === undefined) throw new Error(`no agent ${id}`);
    this.#sessions += 1;
    const session: EngineSession = {
      facts: {
        agentId: id,
        sessionId: `s${this.#sessions}`,
        version: '0.1.0',
        capabilities: agent.capabilities,
        releases: { profile: agent.running, runtime: null, program: null },
      },
      sendControl: (frame) => {
        if (frame.type === 'release-offer') agent.take(openInstruction(frame.instruction, KEYS.publicKey));
        if (frame.type === 'release-cancel') agent.cancel(frame.generation);
      },
    };
    node.sessions.set(id, session);
    node.engine.onOpened(session);
    this.#report(id, node);
  }

  disconnect(id: string, node: Node): void {
    const session = node.sessions.get(id);
    node.sessions.delete(id);
    if (session !== undefined) node.engine.onClosed(session.facts);
  }

  #report(id: string, node: Node): void {
    const [session, frame] = [node.sessions.get(id), this.agents.get(id)?.frame()];
    if (session !== undefined && frame !== undefined) node.engine.onFrame(session, frame);
  }

  /** What one tells the other hears, and what follows is written. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 8; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      await this.a.engine.settled();
      await this.b.engine.settled();
    }
  }

  async round(): Promise<void> {
    for (const [id, agent] of this.agents)
      for (const node of [this.a, this.b]) {
        if (!node.sessions.has(id)) continue;
        if (agent.work()) this.connect(id, node);
        else this.#report(id, node);
      }
    this.now += 1_000;
    for (const { engine, relay } of [this.a, this.b]) {
      relay.tick();
      engine.tick();
    }
    await this.settle();
  }

  async begin(): Promise<void> {
    const ids = [...this.agents.keys()];
    const { number: _, ...rollout } = rolloutOf({ waveTargets: [ids.length] });
    const agents = ids.map((agentId) => ({ agentId, isEligible: true }));
    const { number } = await this[this.leader as 'a' | 'b'].engine.begin(rollout, agents, ENTRY);
    const other = this.leader === 'a' ? this.b : this.a;
    await other.relay.follow([{ subject: 'rollouts', id: `r-${number}`, isDeleted: false, labelsBefore: null }]);
    await this.settle();
  }

  async states(): Promise<string[]> {
    return (await this.store.agents({ number: 1, limit: 100 })).map(({ state }) => state);
  }
}

async function started(ids: readonly string[]): Promise<Nodes> {
  const nodes = new Nodes(ids);
  await nodes.a.engine.start();
  await nodes.round();
  return nodes;
}

describe('a rollout over two nodes', () => {
  it('brings a release to agents at both', async () => {
    const nodes = await started(['x', 'y']);
    nodes.connect('x', nodes.a);
    nodes.connect('y', nodes.b);
    await nodes.begin();
    for (let round = 0; round < 6; round += 1) await nodes.round();
    expect(await nodes.states()).toEqual(['succeeded', 'succeeded']);
    expect(Array.from(nodes.agents.values(), ({ running }) => running)).toEqual([RELEASE, RELEASE]);
    // A ticket is a secret: the node that has the session makes it.
    expect(JSON.stringify(nodes.told)).not.toMatch(/ticket|instruction/);
  });

  it('goes on where the other node leads, with the sessions that both have by then', async () => {
    const nodes = await started(['x', 'y']);
    nodes.connect('x', nodes.a);
    nodes.connect('y', nodes.b);
    await nodes.begin();
    await nodes.round();
    await nodes.lead('b');
    for (let round = 0; round < 8; round += 1) await nodes.round();
    expect(await nodes.states()).toEqual(['succeeded', 'succeeded']);
    await expect(nodes.a.engine.act(1, { verb: 'pause' }, ENTRY)).rejects.toMatchObject({
      code: 'rollout_lead_moves',
    });
  });

  it('follows an agent from node to node, and repeats what was lost when the lead moves', async () => {
    const nodes = await started(['x']);
    nodes.connect('x', nodes.b);
    await nodes.begin();
    await nodes.round();
    nodes.connect('x', nodes.a);
    nodes.disconnect('x', nodes.b);
    await nodes.round();
    nodes.connect('x', nodes.b);
    nodes.disconnect('x', nodes.a);
    nodes.isLossy = true;
    await nodes.round();
    nodes.isLossy = false;
    await nodes.lead('b');
    for (let round = 0; round < 8; round += 1) await nodes.round();
    expect(await nodes.states()).toEqual(['succeeded']);
  });

  it('counts the agents of a node that is dead as away', async () => {
    const nodes = await started(['x']);
    nodes.connect('x', nodes.b);
    await nodes.begin();
    expect(nodes.a.relay.sessionOf('x')).toBeDefined();
    nodes.dead.add('b');
    nodes.a.relay.tick();
    expect(nodes.a.relay.sessionOf('x')).toBeUndefined();
  });

  it('tells of progress seldom, and of each new state at once', async () => {
    const nodes = await started(['x']);
    nodes.connect('x', nodes.b);
    await nodes.begin();
    const session = nodes.b.sessions.get('x');
    const frame = nodes.agents.get('x')?.frame();
    if (session === undefined || frame === undefined) throw new Error('x has no instruction');
    await nodes.settle();
    const before = nodes.told.length;
    for (let bytes = 0; bytes < 5; bytes += 1)
      nodes.b.engine.onFrame(session, { ...frame, state: 'synchronizing', receivedBytes: bytes, totalBytes: 9 });
    await nodes.settle();
    expect(nodes.told.length - before).toBe(1);
    nodes.b.engine.onFrame(session, { ...frame, state: 'synchronized' });
    await nodes.settle();
    expect(nodes.told.length - before).toBe(2);
  });
});
