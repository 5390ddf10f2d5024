// /agent-actions: one act on all agents that selectors mean, each of them on its own.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { problemOf } from '../../../shared/http/problem.ts';
import { TextPage } from '../../../shared/text-page.ts';
import { actOnEach, type BulkOutcome } from '../../agents/acts/bulk.ts';
import { MAX_SELECTOR_LENGTH, MAX_SELECTORS } from '../../agents/selectors.ts';
import type { Actor } from '../../audit.ts';
import { notice } from '../../change/report.ts';
import type { SelectedAgent } from '../../store/agent-store.ts';
import { mergedLabels, type Labels } from '../../store/agents/labels.ts';
import { ADMINISTRATOR, type Access, reads } from '../access.ts';
import { sendReport, type Report } from '../changes/report.ts';
import { DRY_RUN } from '../changes/terms.ts';
import { bodyOf, oneOf } from '../checked.ts';
import { requestInvalid } from '../errors.ts';
import type { AdminServices } from '../services.ts';
import { changedState, cutOffBy } from './agents.ts';
import { assertKeepsScope, assertLabels, LABEL_CHANGE } from './changes.ts';
import { ASKED_REASONS } from './revocation.ts';

/** The member `agents` of each act on several agents: selectors, whose union counts. */
export const SELECTORS = Type.Array(Type.String({ minLength: 1, maxLength: MAX_SELECTOR_LENGTH }), {
  minItems: 1,
  maxItems: MAX_SELECTORS,
});
const VERBS = ['disable', 'enable', 'revoke', 'labels'] as const;

const readAction = bodyOf(
  Type.Object(
    {
      verb: oneOf(VERBS),
      agents: SELECTORS,
      labels: Type.Optional(Type.Unsafe<Readonly<Record<string, string | null>>>(LABEL_CHANGE)),
      reason: Type.Optional(oneOf(ASKED_REASONS)),
    },
    { additionalProperties: false },
  ),
);
type Action = ReturnType<typeof readAction>;

export function agentActionRoutes(app: FastifyInstance, services: AdminServices, access: Access): void {
  const { agentChanges, revocations } = services;
  const actOn = (action: Action, { id }: SelectedAgent, actor: Actor): Promise<unknown> => {
    switch (action.verb) {
      case 'labels':
        return agentChanges.change(id, { labels: action.labels ?? {} }, null, actor);
      case 'revoke':
        return revocations.revoke(id, action.reason ?? 'unspecified', actor);
      default:
        return agentChanges[action.verb](id, actor);
    }
  };

  app.post('/agent-actions', reads(ADMINISTRATOR, { body: readAction, terms: DRY_RUN }), async (request, reply) => {
    const action = readAction(request.body);
    assertMembers(action);
    if (action.labels !== undefined) assertKeepsScope(access, request, action.labels);
    const agents = access.agentsOf(request);
    const selected = await agents.select(action.agents);
    if (access.termsOf(request).dryRun === true)
      return await sendReport(reply, await reportOf(action, selected, (ids) => agents.labelsOf(ids)));
    const actor = access.actorOf(request);
    const outcomes = await actOnEach(selected, (agent) => actOn(action, agent, actor));
    return await reply.code(202).send(bulkJson(outcomes, request.id));
  });
}

/** Errors: request_invalid. */
function assertMembers({ verb, labels, reason }: Action): void {
  const entry = (pointer: string, detail: string) => requestInvalid([{ pointer, detail, allowed: null, found: null }]);
  if (verb === 'labels' && labels === undefined) throw entry('#/labels', 'labels is missing.');
  if (verb !== 'labels' && labels !== undefined) throw entry('#/labels', 'labels needs the verb labels.');
  if (verb !== 'revoke' && reason !== undefined) throw entry('#/reason', 'reason needs the verb revoke.');
  assertLabels(labels ?? {});
}

const STATE_AFTER = { disable: 'disabled', enable: 'enabled', revoke: 'revoked' } as const;
/** As many as a page of a list. */
const MAX_CHANGED = 1_000;
const MAX_NAMES = 10;
/** Of a change from labels to labels, or from a state to a state. */
const textOfLabels = ({ from }: { readonly from: unknown }): string => JSON.stringify(from);

/** What a dry run says: to cut agents off is the meaning of these acts. */
async function reportOf(
  { verb, labels = {} }: Action,
  selected: readonly SelectedAgent[],
  labelsOf: (ids: readonly string[]) => Promise<ReadonlyMap<string, Labels>>,
): Promise<Report<{ agentCount: number }>> {
  const to = verb === 'labels' ? undefined : STATE_AFTER[verb];
  const revoked = to === 'disabled' || to === 'enabled' ? selected.filter(({ state }) => state === 'revoked') : [];
  const done = selected.filter((agent) => !revoked.includes(agent));
  const shown = done.slice(0, MAX_CHANGED);
  const present = to === undefined ? await labelsOf(shown.map(({ id }) => id)) : new Map<string, Labels>();
  const changed = new TextPage<Report<unknown>['changed'][number]>(MAX_CHANGED, textOfLabels);
  for (const { id, name, state, offlineSince } of to === undefined ? shown : done) {
    if (changed.isFull) break;
    const from = present.get(id) ?? {};
    if (to === undefined) changed.add({ name, from, to: mergedLabels(from, labels) });
    else for (const one of changedState({ state, isNew: offlineSince === null }, to)) changed.add({ ...one, name });
  }
  const names = revoked.slice(0, MAX_NAMES).map(({ name }) => name);
  return {
    dryRun: true,
    changed: changed.entries,
    cutOff: to === undefined || to === 'enabled' ? [] : done.flatMap((agent) => cutOffBy(agent, to)),
    notices: revoked.length === 0 ? [] : [notice('agents_refused', { count: revoked.length, names: names.join(', ') })],
    needsForce: false,
    change: null,
    result: { agentCount: selected.length },
  };
}

/** How REST shows an act on several agents. */
export function bulkJson(outcomes: readonly BulkOutcome[], requestId: string) {
  const refusedCount = outcomes.filter(({ refused }) => refused !== null).length;
  return {
    items: outcomes.map(({ agent, refused }) => ({
      agent,
      outcome: refused === null ? 'accepted' : 'refused',
      problem: refused === null ? null : problemOf(refused, requestId),
    })),
    acceptedCount: outcomes.length - refusedCount,
    refusedCount,
  };
}
