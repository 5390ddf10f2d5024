// /ca/rotation: the progress of the authority's rotation, its steps, and the rollback of a step.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { NamedAgent } from '../../pki/rotation/progress.ts';
import type { RotationReport } from '../../pki/rotation/rotation.ts';
import { ADMINISTRATOR, VIEWER, type Access, reads } from '../access.ts';
import { generationJson } from './ca.ts';
import { bytesOf, fileName, fileText, password, pendingJson } from './bodies.ts';
import { bodyOf } from '../checked.ts';
import { timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
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

export function rotationRoutes(app: FastifyInstance, { rotation, profileFaults }: AdminServices, access: Access): void {
  app.get('/ca/rotation', VIEWER, async () => {
    const { phase, since, next, generations, change, trust, issued } = await rotation.status();
    return {
      phase,
      since: timeOf(since),
      next,
      generations: generations.map((generation) => ({
        role: generation.role,
        since: timeOf(generation.since),
        ...generationJson(generation),
      })),
      pending: pendingJson(change),
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

  app.post('/ca/rotation/prepare', reads(ADMINISTRATOR, { body: readPrepare, terms: DRY_RUN }), async (request) => {
    const { file, name = 'the file', key, alias, password: secret, keyPassword } = readPrepare(request.body);
    const keyBytes = key === undefined ? undefined : bytesOf('/key', key);
    const upload =
      file === undefined
        ? undefined
        : { name, bytes: bytesOf('/file', file), keyBytes, alias, password: secret, keyPassword };
    return reportJson(await rotation.prepare(upload, access.termsOf(request), access.actorOf(request)));
  });

  app.post('/ca/rotation/publish', reads(ADMINISTRATOR, { terms: DRY_RUN }), async (request) =>
    reportJson(await rotation.publish(access.termsOf(request), access.actorOf(request))),
  );

  app.post('/ca/rotation/switch', reads(ADMINISTRATOR, { terms: CHANGE }), async (request) =>
    reportJson(await rotation.switch(access.termsOf(request), access.actorOf(request))),
  );

  app.post('/ca/rotation/retire', reads(ADMINISTRATOR, { terms: STEP }), async (request) =>
    reportJson(await rotation.retire(access.termsOf(request), access.actorOf(request))),
  );

  app.post('/ca/rotation/rollback', reads(ADMINISTRATOR, { terms: STEP }), async (request) =>
    reportJson(await rotation.rollBack(access.termsOf(request), access.actorOf(request))),
  );

  app.delete<{ Params: { thumbprint: string } }>(
    '/ca/generations/:thumbprint',
    ADMINISTRATOR,
    async (request, reply) => {
      await rotation.forget(request.params.thumbprint, access.termsOf(request), access.actorOf(request));
      return await reply.code(204).send();
    },
  );
}

function reportJson({ dryRun, phase, missing, notices, change }: RotationReport) {
  return { dryRun, phase, ...agentsJson(missing), notices, pending: pendingJson(change) };
}

function agentsJson(agents: readonly NamedAgent[]) {
  return {
    missing: agents.length,
    agents: agents
      .slice(0, NAMED_AGENTS)
      .map(({ id, name, why, text, since }) => ({ id, name, why, text, since: since === null ? null : timeOf(since) })),
  };
}
