// /changes: changes that are rolled back unless they are confirmed, whatever they change.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { isCoded } from '../../../shared/errors.ts';
import type { Change } from '../../change/changes.ts';
import { ADMINISTRATOR, VIEWER, type Access, reads } from '../access.ts';
import { oneOf, queryOf } from '../checked.ts';
import { pageMembers, pageOf, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { readWait, sendOnceChanged } from './waiting.ts';
import { FORCE } from './terms.ts';

interface OfChange {
  Params: { change: string };
}

const STATES = ['pending', 'confirmed', 'rolled-back'] as const;
const readList = queryOf(
  Type.Object({ ...pageMembers, state: Type.Optional(oneOf(STATES)) }, { additionalProperties: false }),
);

export function changeRoutes(app: FastifyInstance, { changes }: Pick<AdminServices, 'changes'>, access: Access): void {
  app.get('/changes', reads(VIEWER, { query: readList }), async (request, reply) => {
    const { state, ...page } = readList(request.query);
    const found = (await changes.list()).filter((change) => state === undefined || change.state === state);
    return pageOf(request, reply, page, found, { position: ({ id }) => id, json: changeJson });
  });

  app.get<OfChange>('/changes/:change', reads(VIEWER, { query: readWait }), async (request, reply) =>
    sendOnceChanged(request, reply, async () => changeJson(await changes.get(request.params.change))),
  );

  app.post<OfChange>('/changes/:change/confirm', reads(ADMINISTRATOR, { terms: FORCE }), async (request, reply) => {
    try {
      return changeJson(await changes.confirm(request.params.change, access.termsOf(request), access.actorOf(request)));
    } catch (error) {
      // Clients keep their connections: the next attempt of this one has to be over another.
      if (isCoded(error, 'confirm_over_new_connection')) void reply.header('connection', 'close');
      throw error;
    }
  });

  app.post<OfChange>('/changes/:change/rollback', ADMINISTRATOR, async (request) =>
    changeJson(await changes.rollBack(request.params.change, access.actorOf(request))),
  );
}

/** Member by member: what is answered is what is documented. */
export function changeJson(change: Change) {
  const { id, subject, state, owner, expiresAt, requiredShare, agentCount, returnedCount, listener } = change;
  const { changed, comment, ticket } = change;
  return {
    id,
    subject,
    state,
    changed: changed.map(({ name, from, to }) => ({ name, from, to })),
    changedBy: owner.who,
    comment,
    ticket,
    expiresAt: timeOf(expiresAt),
    requiredShare,
    agentCount,
    returnedCount,
    confirmOver: listener,
  };
}
