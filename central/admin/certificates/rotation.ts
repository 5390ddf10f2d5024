// /ca/rotation: the progress of the authority's rotation, its steps, and the rollback of a step.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { cutOffOf, type NamedAgent } from '../../pki/rotation/progress.ts';
import type { RotationReport } from '../../pki/rotation/rotation.ts';
import { ADMINISTRATOR, VIEWER, type Access, reads } from '../access.ts';
import { readKeyFileIfAny, uploadedKey } from './bodies.ts';
import { oneOf, queryOf } from '../checked.ts';
import { pageJson, pageMembers, positionOf, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { changeReference, sendReport } from '../changes/report.ts';
import { CHANGE, DRY_RUN, STEP } from '../changes/terms.ts';

const REASONS = [
  'offline',
  'refused',
  'awaiting-ack',
  'unsupported',
  'certificate-missing',
] as const satisfies readonly NamedAgent['why'][];
const readAgents = queryOf(
  Type.Object({ ...pageMembers, reason: Type.Optional(oneOf(REASONS)) }, { additionalProperties: false }),
);

/** Where a rollback leads to. */
const PHASE_BEFORE = {
  idle: 'idle',
  prepared: 'idle',
  published: 'prepared',
  switched: 'published',
  retired: 'switched',
} as const;

export function rotationRoutes(app: FastifyInstance, { rotation, profileFaults }: AdminServices, access: Access): void {
  app.get('/ca/rotation', VIEWER, async () => {
    const { phase, since, next, change, trust, issued } = await rotation.status();
    return {
      phase,
      phaseChangedAt: timeOf(since),
      next,
      change: changeReference(change),
      trust: {
        registeredCount: trust.registered,
        acknowledgedCount: trust.acknowledged,
        unencryptedCount: trust.unencrypted,
        missingCount: trust.missing.length,
      },
      certificates: { renewedCount: issued.renewed, missingCount: issued.others.length },
      profiles: profileFaults(),
    };
  });

  app.get('/ca/rotation/agents', reads(VIEWER, { query: readAgents }), async (request, reply) => {
    const { reason, ...query } = readAgents(request.query);
    const { trust, issued } = await rotation.status();
    // The list shrinks while it is read: a cursor is a place in its order, whether or not its entry is still there.
    const after = positionOf(request, query);
    const here = await access.agentsOf(request).fitting([...trust.missing, ...issued.others], ({ id }) => id);
    const all = here
      .filter(({ why }) => reason === undefined || why === reason)
      .map((agent) => ({ agent, place: `${agent.name} ${agent.id} ${agent.why}` }))
      .toSorted((a, b) => (a.place < b.place ? -1 : 1))
      .filter(({ place }) => after === undefined || place > after);
    const page = all.slice(0, query.limit);
    const next = page.length < all.length ? (page.at(-1)?.place ?? null) : null;
    return pageJson(
      request,
      reply,
      page.map(({ agent }) => agentJson(agent)),
      next,
    );
  });

  app.post(
    '/ca/rotation/prepare',
    reads(ADMINISTRATOR, { body: readKeyFileIfAny, terms: DRY_RUN }),
    async (request, reply) => {
      const { content, ...rest } = readKeyFileIfAny(request.body);
      const upload = content === undefined ? undefined : uploadedKey({ content, ...rest });
      const report = await rotation.prepare(upload, access.termsOf(request), access.actorOf(request));
      return await sendReport(reply, reportOf('prepared', report));
    },
  );

  app.post('/ca/rotation/publish', reads(ADMINISTRATOR, { terms: DRY_RUN }), async (request, reply) => {
    const report = await rotation.publish(access.termsOf(request), access.actorOf(request));
    return await sendReport(reply, reportOf('published', report));
  });

  app.post('/ca/rotation/switch', reads(ADMINISTRATOR, { terms: CHANGE }), async (request, reply) => {
    const report = await rotation.switch(access.termsOf(request), access.actorOf(request));
    return await sendReport(reply, reportOf('switched', report));
  });

  app.post('/ca/rotation/retire', reads(ADMINISTRATOR, { terms: STEP }), async (request, reply) => {
    const report = await rotation.retire(access.termsOf(request), access.actorOf(request));
    return await sendReport(reply, reportOf('retired', report));
  });

  app.post('/ca/rotation/rollback', reads(ADMINISTRATOR, { terms: STEP }), async (request, reply) => {
    const report = await rotation.rollBack(access.termsOf(request), access.actorOf(request));
    return await sendReport(reply, reportOf(PHASE_BEFORE[report.before], report));
  });

  app.delete<{ Params: { thumbprint: string } }>(
    '/ca/generations/:thumbprint',
    ADMINISTRATOR,
    async (request, reply) => {
      await rotation.forget(request.params.thumbprint, access.actorOf(request));
      return await reply.code(204).send();
    },
  );
}

/** `next`: the phase that the step leads to, for a dry run. */
function reportOf(next: RotationReport['phase'], { before, phase, missing, ...report }: RotationReport) {
  const to = report.dryRun ? next : phase;
  return {
    ...report,
    // A switch that waits for its confirmation has not changed the phase yet.
    changed: before === to ? [] : [{ name: 'phase', from: before, to }],
    cutOff: missing.map(cutOffOf),
    result: { phase },
  };
}

function agentJson({ id, name, why: reason, text: detail, since }: NamedAgent) {
  return { agent: { id, name }, reason, detail, startedAt: timeOf(since) };
}
