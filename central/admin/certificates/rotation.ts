// /ca/rotation: the progress of the authority's rotation, its steps, and the rollback of a step.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { NamedAgent } from '../../pki/rotation/progress.ts';
import type { RotationReport } from '../../pki/rotation/rotation.ts';
import { ADMINISTRATOR, VIEWER, type Access, reads } from '../access.ts';
import { generationJson } from './ca.ts';
import { again, bytesOf, fileName, fileText, password, pendingJson, reason, swapOf } from './bodies.ts';
import { bodyOf, queryOf } from '../checked.ts';
import { timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';

const strict = { additionalProperties: false } as const;
const step = { dryRun: Type.Optional(Type.Boolean()), force: Type.Optional(Type.Boolean()), ...reason };
const readPrepare = bodyOf(
  Type.Object(
    {
      file: Type.Optional(fileText),
      name: fileName,
      key: Type.Optional(fileText),
      alias: fileName,
      password,
      keyPassword: password,
      dryRun: Type.Optional(Type.Boolean()),
      ...reason,
    },
    strict,
  ),
);
const readStep = bodyOf(Type.Object(step, strict));
const readSwitch = bodyOf(Type.Object(again, strict));
const readReason = queryOf(Type.Object(reason, strict));

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

  app.post('/ca/rotation/prepare', reads(ADMINISTRATOR, { body: readPrepare }), async (request) => {
    const { file, name = 'the file', key, alias, password: secret, keyPassword, ...terms } = readPrepare(request.body);
    const keyBytes = key === undefined ? undefined : bytesOf('/key', key);
    const upload =
      file === undefined
        ? undefined
        : { name, bytes: bytesOf('/file', file), keyBytes, alias, password: secret, keyPassword };
    return reportJson(await rotation.prepare(upload, terms, access.actorOf(request)));
  });

  app.post('/ca/rotation/publish', reads(ADMINISTRATOR, { body: readStep }), async (request) =>
    reportJson(await rotation.publish(readStep(request.body), access.actorOf(request))),
  );

  app.post('/ca/rotation/switch', reads(ADMINISTRATOR, { body: readSwitch }), async (request) =>
    reportJson(await rotation.switch(swapOf(readSwitch(request.body)), access.actorOf(request))),
  );

  app.post('/ca/rotation/retire', reads(ADMINISTRATOR, { body: readStep }), async (request) =>
    reportJson(await rotation.retire(readStep(request.body), access.actorOf(request))),
  );

  app.post('/ca/rotation/rollback', reads(ADMINISTRATOR, { body: readStep }), async (request) =>
    reportJson(await rotation.rollBack(readStep(request.body), access.actorOf(request))),
  );

  app.delete<{ Params: { thumbprint: string } }>(
    '/ca/generations/:thumbprint',
    reads(ADMINISTRATOR, { query: readReason }),
    async (request, reply) => {
      await rotation.forget(request.params.thumbprint, readReason(request.query), access.actorOf(request));
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
