// /rollouts: which release is brought to which agents, how far each is, and what administrators decide about it; and
// the profile of one agent: what it shall run, what it runs, and its repair.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { isVisible } from '../../agents/scope.ts';
import { MAX_SELECTOR_LENGTH, MAX_SELECTORS } from '../../agents/selectors.ts';
import { rolloutId } from '../../rollouts/errors.ts';
import { UNSTORED } from '../../rollouts/preview.ts';
import { DEFAULT_PLAN, type AgentPart, type AgentProfile, type RolloutAgents } from '../../rollouts/rollouts.ts';
import type { RolloutView } from '../../rollouts/leader-acts.ts';
import { mayHaveMore } from '../../../shared/text-page.ts';
import { storeFault } from '../../store/errors.ts';
import {
  ROLLOUT_AGENT_STATES,
  ROLLOUT_STAGES,
  ROLLOUT_STATES,
  rolloutText,
  type Cause,
  type RolloutAgentRecord,
  type RolloutPlan,
  type RolloutRecord,
} from '../../store/rollouts/rollout-store.ts';
import { ADMINISTRATOR, OPERATOR, VIEWER, reads, type Access } from '../access.ts';
import { sendReport, type Report } from '../changes/report.ts';
import { DRY_RUN, NO_TERMS } from '../changes/terms.ts';
import { bodyOf, oneOf, queryOf } from '../checked.ts';
import { requestInvalid } from '../errors.ts';
import { pageJson, pageMembers, positionOf, readWithin, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { readWait, sendOnceChanged } from '../changes/waiting.ts';

const strict = { additionalProperties: false } as const;
const MAX_WAVES = 16;
const MAX_SOAK_SECONDS = 7 * 86_400;

const share = Type.Number({ minimum: 0, maximum: 1 });
const wave = Type.Union([
  Type.Object({ count: Type.Integer({ minimum: 1, maximum: 1_000_000 }) }, strict),
  Type.Object({ share: Type.Number({ exclusiveMinimum: 0, maximum: 1 }) }, strict),
]);
const plan = {
  waves: Type.Optional(Type.Array(wave, { minItems: 1, maxItems: MAX_WAVES })),
  successShare: Type.Optional(share),
  errorShare: Type.Optional(share),
  soakSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_SOAK_SECONDS })),
  trialSeconds: Type.Optional(Type.Integer({ minimum: 30, maximum: 86_400 })),
  bytesPerSecond: Type.Optional(Type.Integer({ minimum: 0, maximum: 10 ** 9 })),
};
const readRollout = bodyOf(
  Type.Object(
    {
      kind: oneOf(['profile', 'software']),
      release: Type.String({ minLength: 8, maxLength: 130 }),
      stage: oneOf(ROLLOUT_STAGES),
      agents: Type.Optional(
        Type.Array(Type.String({ minLength: 1, maxLength: MAX_SELECTOR_LENGTH }), {
          minItems: 1,
          maxItems: MAX_SELECTORS,
        }),
      ),
      /** One that synchronized the release: it goes on with the same agents. */
      rollout: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
      ...plan,
    },
    strict,
  ),
);
type RolloutBody = ReturnType<typeof readRollout>;

const readList = queryOf(
  Type.Object({ ...pageMembers, state: Type.Optional(Type.Array(oneOf(ROLLOUT_STATES), { maxItems: 20 })) }, strict),
);
const readAgents = queryOf(
  Type.Object(
    { ...pageMembers, state: Type.Optional(Type.Array(oneOf(ROLLOUT_AGENT_STATES), { maxItems: 20 })) },
    strict,
  ),
);

/** The least role that each act needs. */
const ACTS = [
  ['pause', OPERATOR],
  ['resume', ADMINISTRATOR],
  ['cancel', ADMINISTRATOR],
  ['retry', ADMINISTRATOR],
  ['rollback', ADMINISTRATOR],
] as const;

type OfRollout = { Params: { rollout: string } };
type OfAgent = { Params: { agent: string } };

/** What a token may see of rollouts: those of its scope, and of narrower ones. */
function visibleRollouts({ rollouts }: Pick<AdminServices, 'rollouts'>, access: Access) {
  /** Errors: rollout_unknown, also of one that the token may not see. */
  async function find(request: FastifyRequest, id: string): Promise<RolloutView> {
    const view = await rollouts.find(id);
    if (isVisible(access.scopeOf(request), view.rollout)) return view;
    throw storeFault('rollout_unknown', { id });
  }

  /**
   * The one that an act is about, which applies to all of its agents. Errors: rollout_unknown; scope_too_narrow where
   * one was labeled otherwise since it began.
   */
  async function findWhole(request: FastifyRequest, id: string): Promise<string> {
    const { rollout } = await find(request, id);
    if (access.scopeOf(request) === null) return id;
    const agents = access.agentsOf(request);
    for (let after = ''; ;) {
      const page = await rollouts.agentsOf(id, { limit: AGENTS_READ, after });
      if ((await agents.fitting(page, ({ agentId }) => agentId)).length < page.length)
        throw access.tooNarrow(
          request,
          `a scope that has all agents of ${rolloutId(rollout)}, some of which were labeled otherwise since`,
        );
      const last = page.at(-1);
      if (last === undefined || page.length < AGENTS_READ) return id;
      after = last.agentId;
    }
  }

  return { find, findWhole };
}

const AGENTS_READ = 1_000;

export function rolloutRoutes(app: FastifyInstance, services: AdminServices, access: Access): void {
  const { rollouts } = services;
  const visible = visibleRollouts(services, access);

  app.get('/rollouts', reads(VIEWER, { query: readList }), async (request, reply) => {
    const query = readList(request.query);
    const after = positionOf(request, query);
    const states = query.state === undefined ? {} : { states: query.state };
    const { items, next } = await readWithin({
      limit: query.limit,
      after: after === undefined ? undefined : Number(after),
      read: (before, limit) => rollouts.list({ ...states, limit, ...(before === undefined ? {} : { before }) }),
      fitting: (rows) => rows.filter(({ rollout }) => isVisible(access.scopeOf(request), rollout)),
      placeOf: ({ rollout }) => rollout.number,
      isLast: (rows, limit) => !mayHaveMore(rows, limit, ({ rollout }) => rolloutText(rollout)),
    });
    return pageJson(request, reply, items.map(rolloutJson), next === null ? null : String(next));
  });

  app.post('/rollouts', reads(ADMINISTRATOR, { body: readRollout, terms: DRY_RUN }), async (request, reply) => {
    const body = readRollout(request.body);
    const { dryRun } = access.termsOf(request);
    const terms = { actor: access.actorOf(request), dryRun, ...agentsFor(request, access) };
    const { agents, rollout, release } = body;
    const begun =
      rollout === undefined
        ? await rollouts.begin({ ...body, ...planOf(body), agents: agentsOf(agents) }, terms)
        : await rollouts.upgrade(
            await visible.findWhole(request, continued(body, rollout)),
            release,
            planOf(body),
            terms,
          );
    if (dryRun === true) return await sendReport(reply, reportOf(begun));
    return await reply
      .code(202)
      .header('location', `/api/v1/rollouts/${rolloutId(begun.rollout)}`)
      .send(rolloutJson(begun));
  });

  app.get<OfRollout>('/rollouts/:rollout', reads(VIEWER, { query: readWait }), async (request, reply) =>
    sendOnceChanged(request, reply, async () => rolloutJson(await visible.find(request, request.params.rollout))),
  );

  app.get<OfRollout>('/rollouts/:rollout/agents', reads(VIEWER, { query: readAgents }), async (request, reply) => {
    const query = readAgents(request.query);
    const after = positionOf(request, query);
    const { rollout } = request.params;
    await visible.find(request, rollout);
    const states = query.state === undefined ? {} : { states: query.state };
    const { items, next } = await readWithin({
      limit: query.limit,
      after,
      read: (place, limit) =>
        rollouts.agentsOf(rollout, { ...states, limit, ...(place === undefined ? {} : { after: place }) }),
      fitting: (rows) => access.agentsOf(request).fitting(rows, ({ agentId }) => agentId),
      placeOf: ({ agentId }) => agentId,
    });
    return pageJson(request, reply, items.map(agentJson), next);
  });

  for (const [verb, role] of ACTS)
    app.post<OfRollout>(`/rollouts/:rollout/${verb}`, reads(role, { terms: DRY_RUN }), async (request, reply) => {
      const id = await visible.findWhole(request, request.params.rollout);
      const { dryRun } = access.termsOf(request);
      const { rollout: before } = await rollouts.find(id);
      const view = await rollouts.act(id, verb, { actor: access.actorOf(request), dryRun });
      return dryRun === true ? await sendReport(reply, reportOf(view, before)) : rolloutJson(view);
    });
}

export function agentProfileRoutes(app: FastifyInstance, { rollouts }: AdminServices, access: Access): void {
  app.get<OfAgent>('/agents/:agent/profile', VIEWER, async (request) => {
    const { rollout, ...profile } = await rollouts.profileOf(request.params.agent, access.agentsOf(request));
    const isShown = rollout !== undefined && isVisible(access.scopeOf(request), rollout);
    return profileJson({ ...profile, rollout: isShown ? rollout : undefined });
  });

  // It changes nothing, at Central or at the agent.
  app.post<OfAgent>('/agents/:agent/profile/measure', reads(OPERATOR, { terms: NO_TERMS }), async (request, reply) => {
    const { id, name } = await rollouts.requestMeasurement(request.params.agent, access.agentsOf(request));
    return await reply.code(202).header('location', `/api/v1/agents/${id}/profile`).send({ agent: { id, name } });
  });

  app.post<OfAgent>(
    '/agents/:agent/profile/repair',
    reads(ADMINISTRATOR, { terms: DRY_RUN }),
    async (request, reply) => {
      const { dryRun } = access.termsOf(request);
      const begun = await rollouts.repair(request.params.agent, {
        actor: access.actorOf(request),
        dryRun,
        ...agentsFor(request, access),
      });
      if (dryRun === true) return await sendReport(reply, reportOf(begun));
      return await reply
        .code(202)
        .header('location', `/api/v1/rollouts/${rolloutId(begun.rollout)}`)
        .send(rolloutJson(begun));
    },
  );
}

/** The agents that the token is for. */
function agentsFor(request: FastifyRequest, access: Access): RolloutAgents {
  return { agents: access.agentsOf(request), scope: access.scopeOf(request)?.text ?? null };
}

function planOf(body: RolloutBody): RolloutPlan {
  const { waves, successShare, errorShare, soakSeconds, trialSeconds, bytesPerSecond } = { ...DEFAULT_PLAN, ...body };
  return { waves, successShare, errorShare, soakSeconds, trialSeconds, bytesPerSecond };
}

/** Errors: request_invalid. */
function agentsOf(agents: readonly string[] | undefined): readonly string[] {
  if (agents !== undefined) return agents;
  throw refused('#/agents', 'agents is missing. Name the agents, or in rollout one that synchronized the release.');
}

/** Errors: request_invalid. */
function continued({ agents, stage }: RolloutBody, rollout: string): string {
  if (agents !== undefined)
    throw refused('#/agents', 'agents has no effect with rollout, which continues with its own agents.');
  if (stage !== 'upgrade') throw refused('#/stage', 'rollout continues with the stage upgrade only.');
  return rollout;
}

const refused = (pointer: string, detail: string): Error =>
  requestInvalid([{ pointer, detail, allowed: null, found: null }]);

/** No agent loses Central: one that is not welcomed with the release returns to the one before. */
function reportOf(view: RolloutView, before?: RolloutRecord): Report<ReturnType<typeof rolloutJson>> {
  const { state } = view.rollout;
  const isOther = before !== undefined && before.state !== state;
  const changed = isOther ? [{ name: 'state', from: before.state, to: state }] : [];
  return { dryRun: true, changed, cutOff: [], notices: [], change: null, result: rolloutJson(view) };
}

export function rolloutJson({ rollout, counts: { total, eligible, byState } }: RolloutView) {
  return {
    id: rollout.number === UNSTORED ? null : rolloutId(rollout),
    kind: rollout.kind,
    release: rollout.release,
    name: rollout.name,
    stage: rollout.stage,
    state: rollout.state,
    stateChangedAt: timeOf(rollout.stateChangedAt),
    stateReason: causeJson(rollout.stateReason),
    agents: rollout.selectors,
    scope: rollout.scope,
    waves: rollout.waves.map((size, index) => ({
      count: 'count' in size ? size.count : null,
      share: 'share' in size ? size.share : null,
      agentCount: rollout.waveTargets[index] ?? null,
      state: waveState(rollout, index),
    })),
    soakUntilAt: timeOf(rollout.soakUntil),
    successShare: rollout.successShare,
    errorShare: rollout.errorShare,
    soakSeconds: rollout.soakSeconds,
    trialSeconds: rollout.trialSeconds,
    bytesPerSecond: rollout.bytesPerSecond,
    counts: {
      total,
      eligible,
      waiting: byState.waiting,
      offered: byState.offered,
      synchronizing: byState.synchronizing,
      synchronized: byState.synchronized,
      trying: byState.trying,
      succeeded: byState.succeeded,
      rolledBack: byState['rolled-back'],
      failed: byState.failed,
      skipped: byState.skipped,
      canceled: byState.canceled,
      timedOut: byState['timed-out'],
    },
    comment: rollout.comment,
    ticket: rollout.ticket,
    createdAt: timeOf(rollout.createdAt),
    createdBy: rollout.createdBy,
    endedAt: timeOf(rollout.endedAt),
  };
}

function waveState({ wave: present, soakUntil, state }: RolloutRecord, index: number): string {
  if (index < present || state === 'completed') return 'completed';
  if (index > present) return 'waiting';
  return soakUntil === null ? 'running' : 'soaking';
}

function agentJson(record: RolloutAgentRecord) {
  return {
    agent: { id: record.agentId, name: record.agentName },
    state: record.state,
    stateChangedAt: timeOf(record.stateChangedAt),
    stateReason: causeJson(record),
    stateDeadlineAt: timeOf(record.deadlineAt),
    wave: record.wave === null ? null : record.wave + 1,
    eligible: record.isEligible,
    inconclusive: record.isInconclusive,
    offlineAt: timeOf(record.offlineSince),
    generation: record.generation,
    release: record.target,
    previousRelease: record.previous,
    receivedBytes: record.receivedBytes,
    totalBytes: record.totalBytes,
  };
}

function causeJson({ code, detail, hint }: Cause) {
  return code === '' ? null : { code, detail, hint };
}

function profileJson({ agentId, profile, software, rollout }: AgentProfile) {
  return {
    agentId,
    ...partJson(profile),
    generation: profile.release?.generation ?? null,
    rollout: rollout === undefined ? null : rolloutId(rollout),
    software: software.map((part) => ({ part: part.part, ...partJson(part) })),
  };
}

function partJson({ release, desiredName, reportedName, drift }: AgentPart) {
  return {
    desired: releaseJson(release?.desired ?? null, desiredName),
    reported: releaseJson(release?.reported ?? null, reportedName),
    reportedAt: timeOf(release?.reportedAt ?? null),
    drift:
      drift === undefined
        ? null
        : {
            release: drift.release,
            changedFiles: drift.changedFiles,
            overriddenKeys: drift.overriddenKeys,
            reason: causeJson(drift),
            reportedAt: timeOf(drift.reportedAt),
          },
  };
}

function releaseJson(digest: string | null, name: string | null) {
  return digest === null ? null : { digest, name };
}
