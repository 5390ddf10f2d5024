// /profiles: the list, import of a tar archive, one profile, its settings and its truststore. The version of the draft
// is the ETag.
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { DetailedError, isCoded } from '../../../shared/errors.ts';
import { MAX_RELEASE_BYTES } from '../../../shared/releases/manifest.ts';
import { certificatesOf } from '../../profiles/contents/truststore.ts';
import { profileFault } from '../../profiles/errors.ts';
import type { DraftOutcome, Guarded } from '../../profiles/profiles.ts';
import type { ProfileRecord } from '../../store/releases/release-store.ts';
import type { ReleaseAgents } from '../../store/rollouts/rollout-store.ts';
import { ADMINISTRATOR, type Access, reads, VIEWER } from '../access.ts';
import { ifMatchOf } from '../changes/if-match.ts';
import { DRY_RUN, IMPORT, STEP } from '../changes/terms.ts';
import { bodyOf, queryOf } from '../checked.ts';
import { requestInvalid } from '../errors.ts';
import { pageJson, pageMembers, pageOf, positionOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { certificateJson, contentJson, outcomeJson, profileJson, releaseName, tagOf } from './profile-json.ts';

const TAR_TYPE = 'application/x-tar';
const MAX_SETTINGS = 200;
/** Of those that agents have; the newest. */
const MAX_RELEASES_SHOWN = 100;
const strict = { additionalProperties: false } as const;
const readPage = queryOf(Type.Object(pageMembers, strict));
const readSettings = bodyOf(
  Type.Unsafe<Readonly<Record<string, string | number | boolean | null>>>({
    type: 'object',
    maxProperties: MAX_SETTINGS,
    patternProperties: { '^': { type: ['string', 'number', 'boolean', 'null'], maxLength: 16_384 } },
  }),
);
const readCertificate = bodyOf(
  Type.Object(
    {
      source: Type.Optional(Type.Unsafe<'central'>({ type: 'string', enum: ['central'] })),
      /** Base64. */
      content: Type.Optional(Type.String({ maxLength: 240_000 })),
      fileName: Type.Optional(Type.String({ maxLength: 255 })),
      alias: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    },
    strict,
  ),
);

export interface OfProfile {
  Params: { profile: string };
}

export function profileRoutes(app: FastifyInstance, services: AdminServices, access: Access): void {
  const { profiles } = services;
  /** The agents that count for this token; null: all. */
  const counted = async (request: FastifyRequest): Promise<readonly string[] | null> =>
    access.scopeOf(request) === null ? null : [...(await access.agentsOf(request).idsWith([[]]))];

  app.get('/profiles', reads(VIEWER, { query: readPage }), async (request, reply) => {
    const query = readPage(request.query);
    const after = positionOf(request, query);
    const items = await profiles.list({ limit: query.limit + 1, ...(after === undefined ? {} : { after }) });
    const page = items.slice(0, query.limit);
    const agents = await services.rollouts.agentsPerRelease(null, await counted(request));
    return pageJson(
      request,
      reply,
      page.map((profile) => ({ ...profileJson(profile), ...agentCounts(ofProfile(agents, profile)) })),
      items.length > page.length ? (page.at(-1)?.name ?? null) : null,
    );
  });

  app.get<OfProfile>('/profiles/:profile', VIEWER, async (request, reply) => {
    const profile = await profiles.get(request.params.profile);
    const [latest] = await services.profileReleases.list(profile.name, { limit: 1 });
    const agents = ofProfile(await services.rollouts.agentsPerRelease(profile.name, await counted(request)), profile);
    void reply.header('etag', tagOf(profile));
    return {
      ...profileJson(profile),
      ...contentJson(await profiles.facts(profile.name)),
      latestRelease: latest === undefined ? null : releaseName(latest),
      ...agentCounts(agents),
      agents: agents.slice(0, MAX_RELEASES_SHOWN).map(({ release: digest, desiredCount, reportedCount }) => ({
        release: releaseName({ name: profile.name, digest }),
        digest,
        desiredCount,
        reportedCount,
      })),
    };
  });

  app.delete<OfProfile>('/profiles/:profile', ADMINISTRATOR, async (request, reply) => {
    await profiles.remove(request.params.profile, { actor: access.actorOf(request) });
    return await reply.code(204).send();
  });
  importRoute(app, services, access);
  settingsRoutes(app, services, access);
  truststoreRoutes(app, services, access);
}

function ofProfile(agents: readonly ReleaseAgents[], { name }: ProfileRecord): readonly ReleaseAgents[] {
  return agents.filter(({ profile }) => profile.toLowerCase() === name.toLowerCase());
}

function agentCounts(agents: readonly ReleaseAgents[]) {
  return {
    desiredAgentCount: agents.reduce((sum, { desiredCount }) => sum + desiredCount, 0),
    reportedAgentCount: agents.reduce((sum, { reportedCount }) => sum + reportedCount, 0),
  };
}

function importRoute(app: FastifyInstance, { profiles }: AdminServices, access: Access): void {
  // Only here: everywhere else such a body is refused by its type.
  void app.register(async (scope: FastifyInstance) => {
    scope.addContentTypeParser(TAR_TYPE, (_request, payload, done) => done(null, payload));
    // The bound is that of a release (readTar counts).
    const options = { ...reads(ADMINISTRATOR, { terms: IMPORT, body: 'raw' }), bodyLimit: Number.MAX_SAFE_INTEGER };
    scope.post('/profiles', options, async (request, reply) => {
      const { name, replace = false, dryRun } = IMPORT(request.query);
      if (!(request.body instanceof Readable)) throw wrongType(request, TAR_TYPE);
      const { body } = request;
      const actor = access.actorOf(request);
      const { leftOut, ...outcome } = await untilEnd(body, profiles.import(name, body, { actor, replace, dryRun }));
      if (dryRun !== true) void reply.code(201).header('location', `/api/v1/profiles/${encodeURIComponent(name)}`);
      return await reply.send({ ...outcomeJson(outcome), leftOut });
    });
  });
}

function settingsRoutes(app: FastifyInstance, { profiles }: AdminServices, access: Access): void {
  app.get<OfProfile>('/profiles/:profile/settings', reads(VIEWER, { query: readPage }), async (request, reply) => {
    const profile = await profiles.get(request.params.profile);
    const { conf } = await profiles.facts(profile.name);
    void reply.header('etag', tagOf(profile));
    return pageOf(request, reply, readPage(request.query), conf?.settings ?? [], {
      position: ({ name }) => name,
      json: ({ name, value, isKnown, isSecret, line }) => ({ name, value, isKnown, isSecret, line }),
    });
  });

  app.patch<OfProfile>(
    '/profiles/:profile/settings',
    reads(ADMINISTRATOR, { terms: STEP, body: readSettings }),
    async (request, reply) => {
      const { profile } = request.params;
      const changes = Object.entries(readSettings(request.body)).map(
        ([name, value]) => [name, value === null ? null : String(value)] as const,
      );
      const terms = { ...guarded(request, access), ifMatch: requiredIfMatch(request) };
      return await sendDraft(request, reply, profiles, () => profiles.set(profile, new Map(changes), terms));
    },
  );
}

function truststoreRoutes(app: FastifyInstance, { profiles }: AdminServices, access: Access): void {
  app.get<OfProfile>('/profiles/:profile/truststore', reads(VIEWER, { query: readPage }), async (request, reply) => {
    const profile = await profiles.get(request.params.profile);
    const { truststore } = await profiles.facts(profile.name);
    void reply.header('etag', tagOf(profile));
    return pageOf(request, reply, readPage(request.query), truststore?.entries ?? [], {
      position: ({ alias, thumbprint }) => `${thumbprint} ${alias}`,
      json: certificateJson,
    });
  });

  app.post<OfProfile>(
    '/profiles/:profile/truststore',
    reads(ADMINISTRATOR, { terms: DRY_RUN, body: readCertificate }),
    async (request, reply) => {
      const { source, content, fileName = 'certificate', alias } = readCertificate(request.body);
      if ((source === undefined) === (content === undefined))
        throw requestInvalid([
          {
            pointer: '#',
            detail: 'Exactly one of source and content is needed.',
            allowed: ['source', 'content'],
            found: null,
          },
        ]);
      const certificates =
        content === undefined ? undefined : await certificatesOf(Buffer.from(content, 'base64'), fileName);
      const terms = { ...guarded(request, access), certificates, alias };
      const { profile } = request.params;
      return await sendDraft(request, reply.code(201), profiles, () => profiles.addTrusted(profile, terms));
    },
  );

  app.delete<{ Params: { profile: string; alias: string } }>(
    '/profiles/:profile/truststore/:alias',
    ADMINISTRATOR,
    async (request, reply) => {
      const { profile, alias } = request.params;
      await sendDraft(
        request,
        reply,
        profiles,
        () => profiles.deleteTrusted(profile, alias, guarded(request, access)),
        204,
      );
      return reply;
    },
  );
}

/** A refusal is answered when its body has been read: a client that still sends would not see the answer. */
export async function untilEnd<T>(body: Readable, act: Promise<T>): Promise<T> {
  try {
    return await act;
  } catch (error) {
    let left = MAX_RELEASE_BYTES;
    try {
      // Its first iterator is still there, so that no 'data' would come.
      for await (const piece of body) {
        left -= (piece as Buffer).length;
        if (left < 0) break;
      }
    } catch {
      // The connection was cut: no one waits for the answer.
    }
    throw error;
  }
}

/** The terms of a change of the draft. */
export function guarded(request: FastifyRequest, access: Access): Guarded {
  const { dryRun, force } = access.termsOf(request);
  return { actor: access.actorOf(request), dryRun, force, ifMatch: ifMatchOf(request, 'a profile') };
}

/** Errors: if_match_required (428). */
export function requiredIfMatch(request: FastifyRequest): number | undefined {
  if (request.headers['if-match'] === undefined) throw profileFault('if_match_required', {});
  return ifMatchOf(request, 'a profile');
}

/** Answers with what changed and the new tag; a conflict names the present tag and who made the other change. */
export async function sendDraft(
  request: FastifyRequest,
  reply: FastifyReply,
  profiles: AdminServices['profiles'],
  act: () => Promise<DraftOutcome>,
  status?: 204,
): Promise<FastifyReply> {
  try {
    const outcome = await act();
    if (outcome.profile !== undefined) void reply.header('etag', tagOf(outcome.profile));
    if (status !== undefined) return await reply.code(status).send();
    return await reply.send(outcomeJson(outcome));
  } catch (error) {
    if (!isCoded(error, 'version_conflict')) throw error;
    const { profile } = request.params as OfProfile['Params'];
    const present = await profiles.get(profile);
    void reply.header('etag', tagOf(present));
    throw new DetailedError(error, { members: { changedBy: present.changedBy } });
  }
}

export function wrongType(request: FastifyRequest, allowed: string): Error {
  const found = request.headers['content-type']?.slice(0, 64) ?? null;
  return requestInvalid([
    { header: 'Content-Type', detail: `The body is not of the type ${allowed}.`, allowed: [allowed], found },
  ]);
}
