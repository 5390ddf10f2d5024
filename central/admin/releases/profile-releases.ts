// /profiles/{profile}/releases and /profiles/{profile}/diff: preparing a release, the history, and what differs in
// words.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { ADMINISTRATOR, type Access, reads, VIEWER } from '../access.ts';
import { STEP } from '../changes/terms.ts';
import { queryOf } from '../checked.ts';
import { pageJson, pageMembers, positionOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { differencesJson, fileJson, releaseJson, releaseName } from './profile-json.ts';
import type { OfProfile } from './profiles.ts';

const reference = Type.Optional(Type.String({ minLength: 1, maxLength: 160 }));
const readPage = queryOf(Type.Object(pageMembers, { additionalProperties: false }));
const readDiff = queryOf(Type.Object({ from: reference, to: reference }, { additionalProperties: false }));

export function profileReleaseRoutes(app: FastifyInstance, { profileReleases }: AdminServices, access: Access): void {
  app.get<OfProfile>('/profiles/:profile/releases', reads(VIEWER, { query: readPage }), async (request, reply) => {
    const query = readPage(request.query);
    const after = positionOf(request, query);
    const page = { limit: query.limit + 1, ...(after === undefined ? {} : { before: Number(after) }) };
    const found = await profileReleases.list(request.params.profile, page);
    const items = found.slice(0, query.limit);
    const next = found.length > items.length ? String(items.at(-1)?.number ?? '') : null;
    return pageJson(request, reply, items.map(releaseJson), next);
  });

  app.get<{ Params: { profile: string; release: string } }>(
    '/profiles/:profile/releases/:release',
    VIEWER,
    async (request) => {
      const release = await profileReleases.find(request.params.profile, request.params.release);
      return { ...releaseJson(release), files: (await profileReleases.filesOf(release)).map(fileJson) };
    },
  );

  app.post<OfProfile>('/profiles/:profile/releases', reads(ADMINISTRATOR, { terms: STEP }), async (request, reply) => {
    const { profile } = request.params;
    const { dryRun, force } = access.termsOf(request);
    const prepared = await profileReleases.prepare(profile, { actor: access.actorOf(request), dryRun, force });
    const { release, isNew, digest, differences, overridden } = prepared;
    if (isNew && release !== undefined)
      void reply.code(201).header('location', `/api/v1/profiles/${encodeURIComponent(profile)}/releases/${digest}`);
    return await reply.send({
      dryRun: dryRun === true,
      isNew,
      ...(release === undefined ? { release: null, digest } : releaseJson(release)),
      changed: differencesJson(differences),
      overridden: overridden.map(({ code, detail, hint }) => ({ code, detail, hint })),
    });
  });

  app.get<OfProfile>('/profiles/:profile/diff', reads(VIEWER, { query: readDiff }), async (request) => {
    const { from, to = 'draft' } = readDiff(request.query);
    const found = await profileReleases.diff(request.params.profile, from, to);
    const place = (at: typeof found.from): string | null =>
      at === undefined ? null : at === 'draft' ? at : releaseName(at);
    return { from: place(found.from), to: place(found.to), changed: differencesJson(found.differences) };
  });
}
