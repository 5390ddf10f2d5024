// /software-releases: import of the archive of a build (.qgs), the list, one release with its files, deletion.
import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { runtimeTarget, softwareVersion } from '../../../shared/releases/software.ts';
import type { SoftwareRelease } from '../../software/software-releases.ts';
import { ADMINISTRATOR, type Access, reads, VIEWER } from '../access.ts';
import { STEP } from '../changes/terms.ts';
import { queryOf } from '../checked.ts';
import { pageJson, pageMembers, positionOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { fileJson, releaseJson } from './profile-json.ts';
import { untilEnd, wrongType } from './profiles.ts';

const ARCHIVE_TYPE = 'application/octet-stream';
const readPage = queryOf(Type.Object(pageMembers, { additionalProperties: false }));

interface OfRelease {
  Params: { release: string };
}

export function softwareReleaseRoutes(app: FastifyInstance, { software }: AdminServices, access: Access): void {
  app.get('/software-releases', reads(VIEWER, { query: readPage }), async (request, reply) => {
    const query = readPage(request.query);
    const after = positionOf(request, query);
    const found = await software.list({
      limit: query.limit + 1,
      ...(after === undefined ? {} : { before: Number(after) }),
    });
    const items = found.slice(0, query.limit);
    const next = found.length > items.length ? String(items.at(-1)?.release.number ?? '') : null;
    return pageJson(request, reply, items.map(softwareJson), next);
  });

  app.get<OfRelease>('/software-releases/:release', VIEWER, async (request) => {
    const found = await software.find(request.params.release);
    return { ...softwareJson(found), files: (await software.filesOf(found)).map(fileJson) };
  });

  app.delete<OfRelease>('/software-releases/:release', ADMINISTRATOR, async (request, reply) => {
    await software.delete(request.params.release, access.actorOf(request));
    return await reply.code(204).send();
  });

  // Only here: everywhere else such a body is refused by its type.
  void app.register(async (scope: FastifyInstance) => {
    scope.addContentTypeParser(ARCHIVE_TYPE, (_request, payload, done) => done(null, payload));
    // The bound is that of a release: nothing is read that its manifest does not name.
    const options = { ...reads(ADMINISTRATOR, { terms: STEP, body: 'raw' }), bodyLimit: Number.MAX_SAFE_INTEGER };
    scope.post('/software-releases', options, async (request, reply) => {
      if (!(request.body instanceof Readable)) throw wrongType(request, ARCHIVE_TYPE);
      const { body } = request;
      const { dryRun, force } = access.termsOf(request);
      const actor = access.actorOf(request);
      const imported = await untilEnd(body, software.import(body, { actor, dryRun, force }));
      if (imported.isNew && dryRun !== true)
        void reply.code(201).header('location', `/api/v1/software-releases/${imported.release.digest}`);
      return await reply.send({ dryRun: dryRun === true, isNew: imported.isNew, ...softwareJson(imported) });
    });
  });
}

function softwareJson({ release, part, signers }: SoftwareRelease) {
  const { profile: name, ...members } = releaseJson(release);
  return {
    ...members,
    name,
    part,
    version: softwareVersion(name) ?? null,
    target: runtimeTarget(name) ?? null,
    signers,
  };
}
