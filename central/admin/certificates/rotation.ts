// /ca/rotation: the progress of the authority's rotation, its steps, and the rollback of a step.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { cutOffOf, type NamedAgent } from '../../pki/rotation/progress.ts';
import type { RotationReport } from '../../pki/rotation/rotation.ts';
import { ADMINISTRATOR, VIEWER, type Access, reads } from '../access.ts';
import { generationJson } from './ca.ts';
import { bytesOf, fileName, fileText, password } from './bodies.ts';
import { bodyOf } from '../checked.ts';
import { timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { changeReference, sendReport } from '../changes/report.ts';
import { CHANGE, DRY_RUN, STEP } from '../changes/terms.ts';

const strict = { additionalProperties: false } as const;
const readPrepare = bodyOf(
  Type.Object(
    {
      file: Type.Optional(fileText),
      name: fileName,
      key: Type.Optional(fileText),
      alias: fileName,
      password,
      keyPassword: password,
    },
    strict,
  ),
);

/** An answer names no more agents of a kind; the number is there beside them. */
const NAMED_AGENTS = 100;

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
    const { phase, since, next, generations, change, trust, issued } = await rotation.status();
    return {
      phase,
      phaseChangedAt: timeOf(since),
      next,
      generations: generations.map((generation) => ({
        role: generation.role,
        roleChangedAt: timeOf(generation.since),
        ...generationJson(generation),
      })),
      change: changeReference(change),
      trust: {
        registered: trust.registered,
        acknowledged: trust.acknowledged,
        unencrypted: trust.unencrypted,
        ...agentsJson(trust.missing),
      },
      certificates: { renewed: issued.renewed, ...agentsJson(issued.others) },
      profiles: profileFaults(),
    };
  });

  app.post(
    '/ca/rotation/prepare',
    reads(ADMINISTRATOR, { body: readPrepare, terms: DRY_RUN }),
    async (request, reply) => {
      const { file, name = 'the file', key, alias, password: secret, keyPassword } = readPrepare(request.body);
      const keyBytes = key === undefined ? undefined : bytesOf('/key', key);
      const upload =
        file === undefined
          ? undefined
          : { name, bytes: bytesOf('/file', file), keyBytes, alias, password: secret, keyPassword };
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
      await rotation.forget(request.params.thumbprint, access.termsOf(request), access.actorOf(request));
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

function agentsJson(agents: readonly NamedAgent[]) {
  return {
    missing: agents.length,
    agents: agents.slice(0, NAMED_AGENTS).map(({ id, name, why, text, since }) => ({
      id,
      name,
      reason: why,
      detail: text,
      startedAt: since === null ? null : timeOf(since),
    })),
  };
}
