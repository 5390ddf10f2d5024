// Runs rollouts: takes what happens (sessions, frames, time, acts of administrators) through the pure steps of
// machine.ts, one at a time, writes what changed, and then sends. After a crash it goes on from what was written:
// whatever was not sent, or was lost, is repeated at the next hello of the agent.
import { textOf } from '../../shared/errors.ts';
import { Mutex } from '../../shared/mutex.ts';
import type { CentralControl } from '../../shared/wire/messages.ts';
import type { ReleaseMeasured, ReleaseState } from '../../shared/wire/release-frames.ts';
import { releasePart } from '../../shared/releases/software.ts';
import type { SessionFacts } from '../sessions/session.ts';
import type { AuditEntry } from '../store/audit-store.ts';
import { storeFault } from '../store/errors.ts';
import { MAX_ROLLOUTS } from '../store/space/bounds.ts';
import type {
  Cause,
  NewRollout,
  NewRolloutAgent,
  RolloutAgentRecord,
  RolloutRecord,
  RolloutStore,
} from '../store/rollouts/rollout-store.ts';
import { AWAY_MS, type Act, type Member, type World } from './agent-steps.ts';
import { rolloutFault, rolloutId } from './errors.ts';
import { act, step, type Change, type Model, type RolloutAct, type RolloutEvent } from './machine.ts';
import type { Offers } from './offers.ts';
import { unstoredModel } from './preview.ts';
import {
  MEASURE_CAPABILITY,
  RELEASES_CAPABILITY,
  ReportedReleases,
  reportedOf,
  type DriftByPart,
  type ReportedReleasesNeeds,
} from './reported-releases.ts';

const TICK_MS = 1_000;
const PAGE = 1_000;

export interface EngineSession {
  readonly facts: Pick<SessionFacts, 'agentId' | 'capabilities' | 'releases' | 'sessionId' | 'version'>;
  sendControl(frame: CentralControl): void;
  /** Of a session at another node: makes and sends what is wanted there; false: `sendControl` does. */
  relay?(wanted: Act, rollout: RolloutRecord, agent: RolloutAgentRecord): boolean;
}

/** Tells the node that leads what happens at the sessions here (relay.ts). */
interface Relay {
  onOpened(session: EngineSession): void;
  onClosed(facts: Pick<SessionFacts, 'agentId' | 'sessionId'>): void;
  /** False: the agent takes part in no rollout. */
  onFrame(session: EngineSession, frame: ReleaseState): boolean;
  onReverted(agentId: string, number: number, cause: Cause): void;
  forget(): void;
}

interface EngineNeeds {
  readonly store: RolloutStore;
  /** The open session of an agent, also at another node. */
  readonly sessionOf: (agentId: string) => EngineSession | undefined;
  readonly offers: Offers;
  readonly relay: Relay;
  readonly log: ReportedReleasesNeeds['log'] & {
    info(facts: object, text: string): void;
    error(facts: object, text: string): void;
  };
  readonly now: () => number;
}

export class RolloutEngine {
  readonly #needs: EngineNeeds;
  readonly #turns = new Mutex();
  readonly #active = new Map<number, Model>();
  /** By agent: the rollout in which it takes part. */
  readonly #busy = new Map<string, number>();
  readonly #reported: ReportedReleases;
  #events = new Map<number, RolloutEvent[]>();
  #isPumping = false;
  #timer: NodeJS.Timeout | undefined;
  #isRunning = false;

  constructor(needs: EngineNeeds) {
    this.#needs = needs;
    this.#reported = new ReportedReleases(needs);
  }

  /** Goes on with what was under way when the last process ended, or another node led. */
  async start(): Promise<void> {
    this.#isRunning = true;
    await this.#turns.runExclusive(async () => {
      for (const rollout of await this.#needs.store.active())
        this.#adopt(returned(await this.#modelOf(rollout), this.#needs.now()));
    });
    // They are connected already where another node led before.
    for (const agentId of this.#busy.keys())
      if (this.#needs.sessionOf(agentId) !== undefined) this.#happened(agentId, { kind: 'hello', agentId });
    this.#timer = setInterval(() => this.tick(), TICK_MS).unref();
  }

  /** Resolves when what has begun is written. Another node may go on with it. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#isRunning = false;
    await this.settled();
    this.#active.clear();
    this.#busy.clear();
    this.#events.clear();
    this.#needs.relay.forget();
  }

  /** Until everything that has happened so far is carried out. */
  async settled(): Promise<void> {
    while (this.#isPumping) await this.#turns.runExclusive(async () => undefined);
  }

  /** Must not throw. */
  onOpened(session: EngineSession): void {
    const { facts } = session;
    this.#reported.onOpened(facts);
    if (this.#isRunning) this.onRemote(session);
    else this.#needs.relay.onOpened(session);
    this.#pump();
  }

  /** A session at another node, which records what the agent reports of its releases. Must not throw. */
  onRemote({ facts: { agentId } }: EngineSession): void {
    this.#happened(agentId, { kind: 'hello', agentId });
  }

  /** Another node recorded that a success was contradicted. */
  onReverted(agentId: string, number: number, cause: Cause): void {
    if (!this.#active.has(number)) return;
    this.#queue(number, { kind: 'reverted', agentId, cause });
    this.#pump();
  }

  /** Must not throw. */
  onClosed({ agentId, sessionId }: Pick<SessionFacts, 'agentId' | 'sessionId'>): void {
    if (!this.#isRunning) return this.#needs.relay.onClosed({ agentId, sessionId });
    const open = this.#needs.sessionOf(agentId);
    // A newer session took its place: what went to this one is lost.
    if (open !== undefined && open.facts.sessionId !== sessionId)
      return open.relay === undefined ? undefined : this.onRemote(open);
    this.#happened(agentId, { kind: 'offline', agentId });
  }

  /** Must not throw. */
  onFrame(session: EngineSession, frame: ReleaseState | ReleaseMeasured): void {
    if (frame.type === 'release-measured') return this.#reported.onMeasured(session.facts, frame);
    const { agentId } = session.facts;
    this.#reported.onFrame(session.facts, frame);
    // An agent reports its newest instruction of each kind: the other one is not of this rollout.
    const ofRollout = this.#active.get(this.#busy.get(agentId) ?? 0)?.rollout;
    if (ofRollout?.kind === frame.kind && this.#happened(agentId, { kind: 'state', agentId, frame })) return;
    // The node that leads knows of which rollout it is.
    if (!this.#isRunning && this.#needs.relay.onFrame(session, frame)) return;
    if (this.#reported.isStray(session, frame))
      session.sendControl(this.#needs.offers.cancel(frame.kind, frame.generation));
  }

  tick(): void {
    for (const number of this.#active.keys()) this.#queue(number, { kind: 'tick' });
    this.#pump();
  }

  /** Errors: rollout_lead_moves, rollout_conflict, rollouts_full. */
  async begin(rollout: NewRollout, agents: readonly NewRolloutAgent[], audit: AuditEntry): Promise<RolloutRecord> {
    this.#assertLeads();
    return await this.#turns.runExclusive(async () => {
      const created = await this.#needs.store.create(rollout, agents, audit);
      this.#needs.log.info({ rollout: rolloutId(created), release: created.release }, 'rollout started');
      const model = await this.#modelOf(created);
      this.#adopt(model);
      const change = step(model, [], this.#worldOf(created));
      await this.#carryOut(model, change);
      return change.model.rollout;
    });
  }

  /** What `begin` would lead to at once: nothing is written or sent. Errors: as `begin`. */
  async previewBegin(rollout: NewRollout, agents: readonly NewRolloutAgent[]): Promise<Model> {
    this.#assertLeads();
    return await this.#turns.runExclusive(async () => {
      // Those that are not under way make room.
      if (this.#active.size >= MAX_ROLLOUTS) throw storeFault('rollouts_full', { most: MAX_ROLLOUTS });
      const model = unstoredModel(rollout, agents);
      this.#assertFree(model, model.members.keys());
      return step(model, [], this.#worldOf(model.rollout)).model;
    });
  }

  /** Errors: rollout_unknown, rollout_lead_moves, those of `act` in machine.ts, rollout_conflict. */
  async act(number: number, wanted: RolloutAct | 'rollback', audit: AuditEntry): Promise<RolloutRecord> {
    return await this.#turns.runExclusive(async () => {
      const { before, change } = await this.#acted(number, wanted);
      await this.#carryOut(before, change, audit);
      const { rollout } = change.model;
      const verb = wanted === 'rollback' ? wanted : wanted.verb;
      this.#needs.log.info({ rollout: rolloutId(rollout), act: verb, state: rollout.state }, 'rollout');
      return rollout;
    });
  }

  /** What `act` would lead to at once: nothing is written or sent. Errors: as `act`. */
  async previewAct(number: number, wanted: RolloutAct | 'rollback'): Promise<Model> {
    return await this.#turns.runExclusive(async () => {
      const { change } = await this.#acted(number, wanted);
      this.#assertFree(change.model, change.saved);
      return change.model;
    });
  }

  #assertLeads(): void {
    if (this.#isRunning) return;
    throw rolloutFault('rollout_lead_moves', {});
  }

  async #acted(number: number, wanted: RolloutAct | 'rollback'): Promise<{ before: Model; change: Change }> {
    this.#assertLeads();
    const rollout = this.#active.get(number)?.rollout ?? (await this.#needs.store.get(number));
    if (rollout === undefined) throw storeFault('rollout_unknown', { id: `r-${number}` });
    const before = await this.#refreshed(this.#active.get(number) ?? (await this.#modelOf(rollout)));
    const desired = await this.#desiredOf(before);
    const isNewest = (agentId: string): boolean => desired.get(agentId) === rollout.release;
    const meant = wanted === 'rollback' ? ({ verb: 'rollback', isNewest } as const) : wanted;
    return { before, change: act(before, meant, this.#worldOf(rollout)) };
  }

  /** As the store asserts it when it writes. Errors: rollout_conflict. */
  #assertFree({ rollout, members }: Model, agentIds: Iterable<string>): void {
    for (const agentId of agentIds) {
      const other = this.#busy.get(agentId) ?? rollout.number;
      if (other === rollout.number || members.get(agentId)?.record.isBusy !== true) continue;
      const agent = this.#active.get(other)?.members.get(agentId)?.record.agentName ?? agentId;
      throw storeFault('rollout_conflict', { agent, rollout: `r-${other}` });
    }
  }

  /** The rollouts that have not ended. */
  underWay(): Iterable<Model> {
    return this.#active.values();
  }

  /** What is in memory of a rollout: newer figures than those in the store; undefined: it is not under way. */
  modelOf(number: number): Model | undefined {
    return this.#active.get(number);
  }

  /** What the agent measured of the releases that it runs. */
  driftOf(agentId: string): DriftByPart {
    return this.#reported.driftOf(agentId);
  }

  /** Makes the agent measure the releases that it runs. Errors: agent_offline, agent_cannot_measure. */
  requestMeasurement({ id, name }: { readonly id: string; readonly name: string }): void {
    const session = this.#needs.sessionOf(id);
    if (session === undefined) throw rolloutFault('agent_offline', { agent: name });
    const { capabilities, version } = session.facts;
    if (!capabilities.includes(MEASURE_CAPABILITY))
      throw rolloutFault('agent_cannot_measure', { agent: name, version });
    session.sendControl({ type: 'release-measure' });
  }

  /** The rollout in which the agent takes part hears of it; false: none. */
  #happened(agentId: string, event: RolloutEvent): boolean {
    const number = this.#busy.get(agentId);
    if (number === undefined) return false;
    this.#queue(number, event);
    this.#pump();
    return true;
  }

  #queue(number: number, event: RolloutEvent): void {
    const events = this.#events.get(number);
    if (events === undefined) this.#events.set(number, [event]);
    else if (event.kind !== 'tick' || events.at(-1)?.kind !== 'tick') events.push(event);
  }

  /** What happens while one step is written is taken together by the next. */
  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    this.#turns
      .runExclusive(async () => {
        while (this.#events.size > 0 || this.#reported.isWaiting) await this.#round();
      })
      .catch((error: unknown) => this.#needs.log.error({ error: textOf(error) }, 'a rollout could not continue'))
      .finally(() => {
        this.#isPumping = false;
        if (this.#events.size > 0) this.#pump();
      });
  }

  async #round(): Promise<void> {
    const events = this.#events;
    this.#events = new Map();
    for (const { agentId, number, cause } of await this.#reported.record())
      if (!this.#isRunning) this.#needs.relay.onReverted(agentId, number, cause);
      else if (this.#active.has(number))
        events.set(number, [...(events.get(number) ?? []), { kind: 'reverted', agentId, cause }]);
    for (const [number, happened] of events) {
      const model = this.#active.get(number);
      if (model === undefined) continue;
      await this.#carryOut(model, step(model, happened, this.#worldOf(model.rollout)));
    }
  }

  /** Writes, then counts it as so, then sends. */
  async #carryOut(before: Model, change: Change, audit?: AuditEntry): Promise<void> {
    const { rollout } = change.model;
    const { number } = rollout;
    const part = releasePart(rollout);
    const recordOf = (agentId: string): RolloutAgentRecord[] => {
      const member = change.model.members.get(agentId);
      return member === undefined ? [] : [member.record];
    };
    if (change.saved.size > 0 || change.isRolloutSaved || change.generations.size > 0 || audit !== undefined)
      await this.#needs.store.save({
        number,
        rollout: change.isRolloutSaved ? rollout : undefined,
        agents: [...change.saved].flatMap(recordOf),
        generations: [...change.generations].map((agentId) => ({
          agentId,
          part,
          generation: change.model.members.get(agentId)?.lastGeneration ?? 0,
        })),
        committed: [...change.committed]
          .flatMap(recordOf)
          .map(({ agentId, target }) => ({ agentId, part, release: target ?? rollout.release })),
        audit,
      });
    this.#adopt(change.model);
    this.#logChange(before, change);
    for (const [agentId, wanted] of change.acts) this.#send(change.model, agentId, wanted);
  }

  #logChange(before: Model, { model: { rollout, members }, saved }: Change): void {
    const { log } = this.#needs;
    for (const agentId of saved) {
      const record = members.get(agentId)?.record;
      if (record === undefined || record.state === before.members.get(agentId)?.record.state) continue;
      const { state, code, detail } = record;
      log.info(
        { rollout: rolloutId(rollout), agent: agentId, state, ...(code === '' ? {} : { code, detail }) },
        'rollout',
      );
    }
    if (rollout.state !== before.rollout.state)
      log.info({ rollout: rolloutId(rollout), state: rollout.state, reason: rollout.stateReason.detail }, 'rollout');
  }

  #send({ rollout, members }: Model, agentId: string, wanted: Act): void {
    const session = this.#needs.sessionOf(agentId);
    const record = members.get(agentId)?.record;
    if (session === undefined || record === undefined || record.generation === null) return;
    if (session.relay?.(wanted, rollout, record) === true) return;
    const { offers } = this.#needs;
    const frame = wanted === 'offer' ? offers.offer(rollout, record) : offers.cancel(rollout.kind, record.generation);
    if (frame !== undefined) session.sendControl(frame);
  }

  /** A rollout that is over and has no agent any more leaves the memory. */
  #adopt(model: Model): void {
    const { rollout, members } = model;
    const { number } = rollout;
    let isIdle = rollout.endedAt !== null;
    for (const [agentId, { record }] of members) {
      if (record.isBusy) {
        this.#busy.set(agentId, number);
        isIdle = false;
      } else if (this.#busy.get(agentId) === number) this.#busy.delete(agentId);
    }
    if (isIdle) this.#active.delete(number);
    else this.#active.set(number, model);
  }

  async #modelOf(rollout: RolloutRecord): Promise<Model> {
    const members = new Map<string, Member>();
    let after: string | undefined;
    do {
      const page = await this.#needs.store.agents({
        number: rollout.number,
        limit: PAGE,
        ...(after === undefined ? {} : { after }),
      });
      for (const record of page) members.set(record.agentId, { record, lastGeneration: record.generation ?? 0 });
      after = page.length === PAGE ? page.at(-1)?.agentId : undefined;
    } while (after !== undefined);
    return await this.#refreshed({ rollout, members });
  }

  /** Another rollout may have sent newer instructions meanwhile. */
  async #refreshed({ rollout, members }: Model): Promise<Model> {
    const facts = await this.#needs.store.facts(releasePart(rollout), [...members.keys()]);
    const refreshed = Array.from(members, ([agentId, member]): [string, Member] => [
      agentId,
      { ...member, lastGeneration: Math.max(member.lastGeneration, facts[agentId]?.generation ?? 0) },
    ]);
    return { rollout, members: new Map(refreshed) };
  }

  async #desiredOf({ rollout, members }: Model): Promise<Map<string, string | null>> {
    const facts = await this.#needs.store.facts(releasePart(rollout), [...members.keys()]);
    return new Map(Object.entries(facts).map(([agentId, { desired }]) => [agentId, desired]));
  }

  #worldOf(rollout: RolloutRecord): World {
    const part = releasePart(rollout);
    const { sessionOf, now } = this.#needs;
    return {
      now: now(),
      isOnline: (agentId) => sessionOf(agentId) !== undefined,
      tooOld(agentId) {
        const { capabilities = [], version = 'unknown' } = sessionOf(agentId)?.facts ?? {};
        return capabilities.includes(RELEASES_CAPABILITY) ? undefined : { version };
      },
      reported: (agentId) => reportedOf(part, sessionOf(agentId)?.facts.releases),
    };
  }
}

/** No agent is connected yet: they have some minutes to come back. */
function returned({ rollout, members }: Model, now: number): Model {
  const patient = Array.from(members, ([agentId, member]): [string, Member] => {
    const { record } = member;
    const deadlineAt = record.deadlineAt === null ? null : Math.max(record.deadlineAt, now + AWAY_MS);
    return [agentId, { ...member, record: { ...record, deadlineAt } }];
  });
  return { rollout, members: new Map(patient) };
}
