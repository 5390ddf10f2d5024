// Agents that carry out offers as the protocol says, a store in memory with the SQL of the real one, and an engine that
// can be killed before any of its steps.
import { DatabaseSync } from 'node:sqlite';
import { generateKeyPairSync } from 'node:crypto';
import { RolloutEngine, type EngineSession } from '../../../central/rollouts/engine.ts';
import { createOffers } from '../../../central/rollouts/offers.ts';
import type { NewRollout, RolloutStore } from '../../../central/store/rollouts/rollout-store.ts';
import { MIGRATIONS } from '../../../central/store/sqlite/migrations.ts';
import { rolloutReads, rolloutWrites } from '../../../central/store/sql/rollouts/rollouts.ts';
import { auditWrites } from '../../../central/store/sql/rows/audit.ts';
import { openInstruction, type Instruction } from '../../../shared/releases/instruction.ts';
import type { CentralControl } from '../../../shared/wire/messages.ts';
import type { ReleaseState } from '../../../shared/wire/release-frames.ts';
import { auditEntry } from '../store/samples.ts';
import { NOW, PREVIOUS, rolloutOf } from './samples.ts';

export const KEYS = generateKeyPairSync('ec', { namedCurve: 'P-256' });
export const ENTRY = auditEntry('profiles.upgrade');

/** What a killed process never does any more. */
class Killed extends Error {}

/** The store of rollouts over SQL in memory. `onStep` is called before each write. */
export function sqlStore(onStep: (step: string) => void): RolloutStore & { addAgent(id: string): void } {
  const database = new DatabaseSync(':memory:');
  database.exec(MIGRATIONS.join(';\n'));
  const audit = auditWrites(database);
  const writes = rolloutWrites(database, audit);
  const reads = rolloutReads(database);
  const write = async <T>(step: string, work: () => T): Promise<T> => {
    onStep(step);
    database.exec('BEGIN');
    try {
      const result = work();
      database.exec('COMMIT');
      return result;
    } catch (error) {
      database.exec('ROLLBACK');
      throw error;
    }
  };
  return {
    addAgent: (id) =>
      void database
        .prepare(
          `INSERT INTO agent (id, name, public_key, key_thumbprint, enrolled_at, enrolled_by, state, state_since, state_reason, epoch)
            VALUES (?1, ?1, ?1, ?1, 0, 'test', 'online', 0, '', 0)`,
        )
        .run(id),
    create: (rollout, agents, entry) =>
      write('create', () => {
        const created = writes.createRollout(rollout, agents);
        audit.appendAudit(entry);
        return created;
      }),
    get: async (number) => reads.getRollout(number),
    list: async ({ before, limit, states }) =>
      reads.listRollouts(before ?? Number.MAX_SAFE_INTEGER, limit, states ?? null),
    active: async () => reads.activeRollouts(),
    agents: async ({ number, after, limit, states }) =>
      reads.agentsOfRollout(number, after ?? '', limit, states ?? null),
    ofAgent: async (agentId) => reads.rolloutOfAgent(agentId),
    counts: async (number) => reads.rolloutCounts(number),
    releasesOf: async (agentId) => reads.releasesOfAgent(agentId),
    agentsPerRelease: async (profile, agentIds) => reads.agentsPerRelease(profile, agentIds),
    facts: async (part, agentIds) => reads.releaseFacts(part, agentIds),
    save: (change) => write('save', () => writes.saveRollout(change)),
    recordReported: (agentId, releases, causes, now) =>
      write('report', () => writes.recordReported(agentId, releases, causes, now)),
  };
}

/** An agent: what it has on its disk outlives its connections and Central. */
export class FakeAgent {
  readonly id: string;
  running: string = PREVIOUS;
  instruction: Instruction | undefined;
  state: ReleaseState['state'] = 'offered';
  capabilities: readonly string[] = ['releases.1'];
  /** What its trial leads to. */
  outcome: 'succeeded' | 'rolled-back' = 'succeeded';
  readonly refused: number[] = [];

  constructor(id: string) {
    this.id = id;
  }

  /** What it says now, if it ever had an instruction. */
  frame(): ReleaseState | undefined {
    if (this.instruction === undefined) return undefined;
    const { kind, generation, release } = this.instruction;
    const cause = this.state === 'rolled-back' ? { code: 'tls_failed', detail: 'No.', hint: 'Look.' } : NO_CAUSE;
    return {
      type: 'release-state',
      kind,
      generation,
      release,
      state: this.state,
      receivedBytes: 1,
      totalBytes: 1,
      ...cause,
    };
  }

  take(instruction: Instruction): void {
    if (instruction.agent !== this.id) throw new Error('the instruction is for another agent');
    const known = this.instruction?.generation ?? 0;
    if (instruction.generation < known) this.refused.push(instruction.generation);
    if (instruction.generation <= known) return;
    this.instruction = instruction;
    this.state = 'offered';
  }

  cancel(generation: number): void {
    if (this.instruction?.generation === generation && !this.isFinal()) this.state = 'canceled';
  }

  /** The next step of its instruction; true when it has to connect again to take it. */
  work(): boolean {
    if (this.instruction === undefined || this.isFinal()) return false;
    const { release } = this.instruction;
    const next = ({ offered: 'synchronizing', synchronizing: 'synchronized', synchronized: 'trying' } as const)[
      this.state as 'offered' | 'synchronizing' | 'synchronized'
    ];
    if (next !== undefined) this.state = next;
    else if (this.outcome === 'rolled-back') this.state = 'rolled-back';
    else if (this.running !== release) {
      this.running = release;
      return true;
    } else this.state = 'succeeded';
    return false;
  }

  isFinal(): boolean {
    return (
      ['succeeded', 'rolled-back', 'failed', 'canceled'].includes(this.state) ||
      (this.state === 'synchronized' && this.instruction?.stage === 'synchronize')
    );
  }
}

const NO_CAUSE = { code: '', detail: '', hint: '' } as const;

/** Central's engine with agents that are connected to it, step by step. */
export class Fleet {
  now = NOW;
  readonly agents = new Map<string, FakeAgent>();
  readonly sessions = new Map<string, EngineSession>();
  readonly sent: (readonly [string, CentralControl])[] = [];
  readonly steps: string[] = [];
  /** Kills the engine before this step; each process counts from 0. */
  killAt = Number.POSITIVE_INFINITY;
  isKilled = false;
  readonly store = sqlStore((step) => this.#step(step));
  engine = this.#create();
  #sessionNumber = 0;

  /** What its releases are of. */
  readonly part: 'profile' | 'program';

  constructor(ids: readonly string[], part: 'profile' | 'program' = 'profile') {
    this.part = part;
    for (const id of ids) {
      this.store.addAgent(id);
      this.agents.set(id, new FakeAgent(id));
    }
  }

  #step(step: string): void {
    if (this.isKilled || this.steps.length >= this.killAt) {
      this.isKilled = true;
      throw new Killed(step);
    }
    this.steps.push(step);
  }

  #create(): RolloutEngine {
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    return new RolloutEngine({
      store: this.store,
      relay: {
        onOpened: () => undefined,
        onClosed: () => undefined,
        onFrame: () => false,
        onReverted: () => undefined,
        forget: () => undefined,
      },
      sessionOf: (agentId) => this.sessions.get(agentId),
      offers: createOffers({
        signingKey: { key: KEYS.privateKey, fingerprint: 'sha256:test' },
        tickets: { issue: (agentId, digest) => `ticket.${agentId}.${digest.slice(0, 8)}` },
        steady: () => this.now,
      }),
      log,
      now: () => this.now,
    });
  }

  /** Another process goes on with the store; the agents connect to it. */
  async restart(): Promise<void> {
    await this.engine.stop();
    this.sessions.clear();
    this.steps.length = 0;
    this.isKilled = false;
    this.engine = this.#create();
    await this.engine.start();
    for (const id of this.agents.keys()) this.connect(id);
    await this.engine.settled();
  }

  /** A session, and what the agent says behind its welcome. */
  connect(id: string): void {
    const agent = this.#agent(id);
    this.#sessionNumber += 1;
    const session: EngineSession = {
      facts: {
        agentId: id,
        sessionId: `s${this.#sessionNumber}`,
        version: '0.1.0',
        capabilities: agent.capabilities,
        releases: { profile: null, runtime: null, program: null, [this.part]: agent.running },
      },
      sendControl: (frame) => {
        this.#step(frame.type);
        this.sent.push([id, frame]);
        if (frame.type === 'release-offer') agent.take(openInstruction(frame.instruction, KEYS.publicKey));
        if (frame.type === 'release-cancel') agent.cancel(frame.generation);
      },
    };
    this.sessions.set(id, session);
    this.engine.onOpened(session);
    this.#report(id);
  }

  disconnect(id: string): void {
    const session = this.sessions.get(id);
    this.sessions.delete(id);
    if (session !== undefined) this.engine.onClosed(session.facts);
  }

  /** Each connected agent takes a step, and says so. */
  async round(): Promise<void> {
    for (const [id, agent] of this.agents) {
      if (!this.sessions.has(id)) continue;
      if (agent.work()) this.connect(id);
      else this.#report(id);
    }
    await this.engine.settled();
    this.now += 1_000;
    this.engine.tick();
    await this.engine.settled();
  }

  async begin(changes: Partial<NewRollout> = {}): Promise<number> {
    const ids = [...this.agents.keys()];
    const agents = ids.map((agentId) => ({ agentId, isEligible: true }));
    const of = this.part === 'profile' ? {} : ({ kind: 'software', name: 'queue-agent-program-0.2.0' } as const);
    const { number: _, ...rollout } = rolloutOf({ waveTargets: [ids.length], ...of, ...changes });
    const { number } = await this.engine.begin(rollout, agents, ENTRY);
    return number;
  }

  async states(number = 1): Promise<string[]> {
    return (await this.store.agents({ number, limit: 100 })).map(({ state }) => state);
  }

  #report(id: string): void {
    const session = this.sessions.get(id);
    const frame = this.#agent(id).frame();
    if (session !== undefined && frame !== undefined) this.engine.onFrame(session, frame);
  }

  #agent(id: string): FakeAgent {
    const agent = this.agents.get(id);
    if (agent === undefined) throw new Error(`${id} is not in the fleet`);
    return agent;
  }
}
