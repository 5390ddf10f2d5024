// /subscriptions: receivers to which Central pushes events (webhooks), how far each is, and its last attempts.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { MAX_SELECTOR_LENGTH } from '../../agents/selectors.ts';
import type { DeliveryRecord, SubscriptionSettings } from '../../store/subscriptions/subscription-store.ts';
import type { SubscriptionView } from '../../subscriptions/subscriptions.ts';
import { ADMINISTRATOR, VIEWER, type Access, reads } from '../access.ts';
import { ifMatchOf } from '../changes/if-match.ts';
import { bodyOf, oneOf, queryOf } from '../checked.ts';
import type { EventCursors } from '../../messaging/event-cursors.ts';
import { pageJson, pageMembers, pageOf, positionOf, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { positionOfEvents } from './event-position.ts';

const strict = { additionalProperties: false } as const;
const textOrNull = (rules: object) => Type.Unsafe<string | null>({ type: ['string', 'null'], minLength: 1, ...rules });
const NAME = Type.String({ minLength: 1, maxLength: 128, pattern: String.raw`^[^\p{Cc}]+$` });
const TARGET = Type.String({ minLength: 1, maxLength: 2048 });
const CA = textOrNull({ maxLength: 65_536 });
/** All hold; absent or null: any. */
const FILTER = Type.Object(
  {
    type: Type.Optional(textOrNull({ maxLength: 255 })),
    source: Type.Optional(textOrNull({ maxLength: 1024 })),
    agent: Type.Optional(textOrNull({ maxLength: 255 })),
    label: Type.Optional(textOrNull({ maxLength: MAX_SELECTOR_LENGTH })),
  },
  strict,
);
const AFTER = Type.String({ minLength: 1, maxLength: 1024 });

const readPage = queryOf(Type.Object(pageMembers, strict));
const readNew = bodyOf(
  Type.Object(
    {
      name: NAME,
      kind: Type.Optional(oneOf(['webhook'])),
      target: TARGET,
      ca: Type.Optional(CA),
      filter: Type.Optional(FILTER),
      after: Type.Optional(AFTER),
    },
    strict,
  ),
);
const readPatch = bodyOf(
  Type.Object(
    {
      name: Type.Optional(NAME),
      target: Type.Optional(TARGET),
      ca: Type.Optional(CA),
      filter: Type.Optional(FILTER),
    },
    strict,
  ),
);
const readReplay = bodyOf(Type.Object({ after: AFTER }, strict));

interface OfSubscription {
  Params: { subscription: string };
}

export function subscriptionRoutes(app: FastifyInstance, services: AdminServices, access: Access): void {
  const { subscriptions, cursors } = services;
  const { sendView, subscriptionJson } = answersOf(cursors);
  /** Errors: agent_unknown, agent_ambiguous. */
  const filterOf = async (
    request: FastifyRequest,
    filter: ReturnType<typeof readNew>['filter'],
  ): Promise<SubscriptionSettings['filter']> => {
    const { type = null, source = null, agent = null, label = null } = filter ?? {};
    const agentId = agent === null ? null : await access.agentsOf(request).findId(agent);
    return { type, source, agentId, label };
  };

  app.get('/subscriptions', reads(VIEWER, { query: readPage }), async (request, reply) =>
    pageOf(request, reply, readPage(request.query), await subscriptions.list(), {
      position: ({ record }) => record.id,
      json: subscriptionJson,
    }),
  );

  app.post('/subscriptions', reads(ADMINISTRATOR, { body: readNew }), async (request, reply) => {
    const { name, target, ca = null, filter, after } = readNew(request.body);
    const settings = { name, target, ca, filter: await filterOf(request, filter) };
    const position = await positionIn(services, after);
    const { view, secret } = await subscriptions.create(settings, position, access.actorOf(request));
    void reply.code(201).header('location', `/api/v1/subscriptions/${view.record.id}`);
    return await tagged(reply, view).send({ ...subscriptionJson(view), secret });
  });

  app.get<OfSubscription>('/subscriptions/:subscription', VIEWER, async (request, reply) =>
    sendView(reply, await subscriptions.find(request.params.subscription)),
  );

  app.patch<OfSubscription>(
    '/subscriptions/:subscription',
    reads(ADMINISTRATOR, { body: readPatch }),
    async (request, reply) => {
      const { name, target, ca, filter } = readPatch(request.body);
      const change = {
        ...(name === undefined ? {} : { name }),
        ...(target === undefined ? {} : { target }),
        ...(ca === undefined ? {} : { ca }),
        ...(filter === undefined ? {} : { filter: await filterOf(request, filter) }),
      };
      const version = ifMatchOf(request, 'a subscription') ?? null;
      const actor = access.actorOf(request);
      return sendView(reply, await subscriptions.set(request.params.subscription, change, version, actor));
    },
  );

  app.delete<OfSubscription>('/subscriptions/:subscription', ADMINISTRATOR, async (request, reply) => {
    await subscriptions.remove(request.params.subscription, access.actorOf(request));
    return await reply.code(204).send();
  });
  actRoutes(app, services, access);
}

/** What administrators do with one, and its last attempts. */
function actRoutes(app: FastifyInstance, services: AdminServices, access: Access): void {
  const { subscriptions, cursors } = services;
  const { sendView, subscriptionJson, deliveryJson } = answersOf(cursors);
  for (const verb of ['pause', 'resume'] as const)
    app.post<OfSubscription>(`/subscriptions/:subscription/${verb}`, ADMINISTRATOR, async (request, reply) =>
      sendView(reply, await subscriptions[verb](request.params.subscription, access.actorOf(request))),
    );

  app.post<OfSubscription>(
    '/subscriptions/:subscription/replay',
    reads(ADMINISTRATOR, { body: readReplay }),
    async (request, reply) => {
      const after = await positionIn(services, readReplay(request.body).after);
      const actor = access.actorOf(request);
      return sendView(reply, await subscriptions.replay(request.params.subscription, after, actor));
    },
  );

  app.post<OfSubscription>('/subscriptions/:subscription/rotate-secret', ADMINISTRATOR, async (request, reply) => {
    const { view, secret } = await subscriptions.rotateSecret(request.params.subscription, access.actorOf(request));
    return await tagged(reply, view).send({ ...subscriptionJson(view), secret });
  });

  app.get<OfSubscription>(
    '/subscriptions/:subscription/deliveries',
    reads(VIEWER, { query: readPage }),
    async (request, reply) => {
      const query = readPage(request.query);
      const before = positionOf(request, query);
      const found = await subscriptions.deliveries(request.params.subscription, {
        limit: query.limit,
        ...(before === undefined ? {} : { before: Number(before) }),
      });
      const next = found.length === query.limit ? String(found.at(-1)?.number) : null;
      return pageJson(request, reply, found.map(deliveryJson), next);
    },
  );
}

/** New events only, unless the body says otherwise. Errors: cursor_invalid, cursor_ahead. */
async function positionIn(services: AdminServices, after = 'newest'): Promise<number | 'newest' | 'oldest'> {
  if (after === 'newest' || after === 'oldest') return after;
  return await positionOfEvents(services, after, { pointer: '#/after' });
}

function tagged(reply: FastifyReply, { record }: SubscriptionView): FastifyReply {
  return reply.header('etag', `"${record.version}"`);
}

/** Cursors of events are text in answers. */
function answersOf(cursors: EventCursors) {
  const cursorOf = (position: number): string => cursors.encode(position);
  const subscriptionJson = (view: SubscriptionView) => viewJson(view, cursorOf);
  return {
    subscriptionJson,
    sendView: (reply: FastifyReply, view: SubscriptionView): FastifyReply =>
      tagged(reply, view).send(subscriptionJson(view)),
    deliveryJson: (delivery: DeliveryRecord) => attemptJson(delivery, cursorOf),
  };
}

/** Member by member: the seed of the secret is beside them. */
function viewJson(
  { record, state, cursor, lag, failing, deliveredAt }: SubscriptionView,
  cursorOf: (position: number) => string,
) {
  const { id, name, kind, target, ca, filter, stateChangedAt, stateReason, createdAt, createdBy } = record;
  return {
    id,
    name,
    kind,
    target,
    ca,
    filter,
    state,
    stateChangedAt: timeOf(state === 'failing' && failing !== null ? failing.since : stateChangedAt),
    stateReason,
    createdAt: timeOf(createdAt),
    createdBy,
    cursor: cursorOf(cursor),
    lagCount: lag.count,
    lagSeconds: lag.seconds,
    lostCount: record.lostCount,
    lostAt: timeOf(record.lostAt),
    deliveredAt: timeOf(deliveredAt),
    lastError:
      failing === null
        ? null
        : {
            code: failing.failure.code,
            detail: failing.failure.message,
            hint: failing.failure.hint,
            occurredAt: timeOf(failing.at),
          },
    previousSecretExpiresAt: timeOf(record.secret.previous?.expiresAt ?? null),
  };
}

function attemptJson(delivery: DeliveryRecord, cursorOf: (position: number) => string) {
  const { number, at, webhookId, attempt, eventCount, firstCursor, lastCursor, durationMs, status, failure } = delivery;
  return {
    number,
    startedAt: timeOf(at),
    durationSeconds: durationMs / 1000,
    webhookId,
    attempt,
    eventCount,
    firstCursor: cursorOf(firstCursor),
    lastCursor: cursorOf(lastCursor),
    status,
    failure,
  };
}
