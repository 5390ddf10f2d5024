// /drains: sessions of selected agents that end, spread over a time, so that the agents connect again.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { DRAIN_STATES, type Drain } from '../../agents/acts/drain.ts';
import { drainFault } from '../../agents/acts/drains.ts';
import { isVisible } from '../../agents/scope.ts';
import type { CutOffAgent } from '../../change/report.ts';
import { hasSession, type SelectedAgent } from '../../store/agent-store.ts';
import { OPERATOR, VIEWER, type Access, reads } from '../access.ts';
import { sendReport, type Report } from '../changes/report.ts';
import { DRY_RUN } from '../changes/terms.ts';
import { bodyOf, oneOf, queryOf } from '../checked.ts';
import { pageMembers, pageOf, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { readWait, sendOnceChanged } from '../changes/waiting.ts';
import { SELECTORS } from './actions.ts';

/** As in the frame `drain`. */
const MAX_SECONDS = 86_400;
const strict = { additionalProperties: false } as const;
const seconds = Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_SECONDS }));
const readDrain = bodyOf(
  Type.Object({ agents: SELECTORS, withinSeconds: seconds, retryAfterSeconds: seconds }, strict),
);
const readList = queryOf(Type.Object({ ...pageMembers, state: Type.Optional(oneOf(DRAIN_STATES)) }, strict));

interface OfDrain {
  Params: { drain: string };
}

export function drainRoutes(app: FastifyInstance, { drains, parameters }: AdminServices, access: Access): void {
  /** Errors: drain_unknown, also of one that the scope of the token does not contain. */
  const drainOf = (request: FastifyRequest<OfDrain>): Drain => {
    const drain = drains.get(request.params.drain);
    if (isVisible(access.scopeOf(request), drain)) return drain;
    throw drainFault('drain_unknown', { id: drain.id });
  };

  app.get('/drains', reads(VIEWER, { query: readList }), (request, reply) => {
    const { state, ...page } = readList(request.query);
    const found = drains
      .list()
      .filter((drain) => (state === undefined || drain.state === state) && isVisible(access.scopeOf(request), drain));
    return pageOf(request, reply, page, found, { position: ({ id }) => id, json: drainJson });
  });

  app.post('/drains', reads(OPERATOR, { body: readDrain, terms: DRY_RUN }), async (request, reply) => {
    const body = readDrain(request.body);
    const { agents: selectors, retryAfterSeconds = 0 } = body;
    const { withinSeconds = parameters.values()['agents.drain.spreadSeconds'] } = body;
    const selected = await access.agentsOf(request).select(selectors);
    if (access.termsOf(request).dryRun === true) return await sendReport(reply, reportOf(selected, retryAfterSeconds));
    const scope = access.scopeOf(request)?.text ?? null;
    const order = { selectors, selected, scope, withinSeconds, retryAfterSeconds };
    const drain = await drains.create(order, access.actorOf(request));
    return await reply.code(202).header('location', `/api/v1/drains/${drain.id}`).send(drainJson(drain));
  });

  app.get<OfDrain>('/drains/:drain', reads(VIEWER, { query: readWait }), async (request, reply) =>
    sendOnceChanged(request, reply, () => drainJson(drainOf(request))),
  );

  app.post<OfDrain>('/drains/:drain/cancel', OPERATOR, async (request) =>
    drainJson(await drains.cancel(drainOf(request).id, access.actorOf(request))),
  );
}

/** To end sessions is the meaning of the act: it needs no force. */
function reportOf(selected: readonly SelectedAgent[], seconds_: number): Report<{ agentCount: number }> {
  const detail = `Its session would end, and it would reconnect after ${seconds_} s.`;
  const cutOff = selected
    .filter(({ state }) => hasSession(state))
    .map(({ id, name }): CutOffAgent => ({ id, name, reason: 'agent-drained', detail }));
  const result = { agentCount: selected.length };
  return { dryRun: true, changed: [], cutOff, notices: [], needsForce: false, change: null, result };
}

/** Member by member: what is answered is what is documented. */
function drainJson(drain: Drain) {
  const { id, state, stateChangedAt, createdAt, createdBy, selectors, scope, withinSeconds, retryAfterSeconds } = drain;
  const { agentCount, offlineCount, waitingCount, awayCount, reconnectedCount } = drain;
  return {
    id,
    state,
    stateChangedAt: timeOf(stateChangedAt),
    createdAt: timeOf(createdAt),
    createdBy,
    agents: selectors,
    scope,
    withinSeconds,
    retryAfterSeconds,
    agentCount,
    offlineCount,
    waitingCount,
    awayCount,
    reconnectedCount,
  };
}
