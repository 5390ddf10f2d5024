// /profiles/{profile}/files: the files of a draft, as they are.
import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { ADMINISTRATOR, type Access, reads, VIEWER } from '../access.ts';
import { FILE_PUT } from '../changes/terms.ts';
import { queryOf } from '../checked.ts';
import { pageJson, pageMembers, positionOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { fileJson, tagOf } from './profile-json.ts';
import { guarded, requiredIfMatch, sendDraft, untilEnd, wrongType, type OfProfile } from './profiles.ts';

const CONTENT_TYPE = 'application/octet-stream';
const readPage = queryOf(Type.Object(pageMembers, { additionalProperties: false }));

interface OfFile {
  /** `*`: the rest of the path. */
  Params: { profile: string; '*': string };
}

export function profileFileRoutes(app: FastifyInstance, { profiles }: AdminServices, access: Access): void {
  app.get<OfProfile>('/profiles/:profile/files', reads(VIEWER, { query: readPage }), async (request, reply) => {
    const profile = await profiles.get(request.params.profile);
    void reply.header('etag', tagOf(profile));
    const query = readPage(request.query);
    const after = positionOf(request, query);
    const found = await profiles.files(profile.name, {
      limit: query.limit + 1,
      ...(after === undefined ? {} : { after }),
    });
    const files = found.slice(0, query.limit);
    return pageJson(
      request,
      reply,
      files.map(fileJson),
      found.length > files.length ? (files.at(-1)?.path ?? null) : null,
    );
  });

  // An administrator only: a file may hold passwords, such as that of the truststore.
  app.get<OfFile>('/profiles/:profile/files/*', ADMINISTRATOR, async (request, reply) => {
    const { profile, '*': path } = request.params;
    const { file, content } = await profiles.read(profile, path);
    void reply
      .type(CONTENT_TYPE)
      .header('cache-control', 'no-store')
      .header('content-length', String(file.size))
      .header('etag', tagOf(await profiles.get(profile)));
    return await reply.send(
      request.method === 'HEAD' ? Readable.from([]) : Readable.from(content, { objectMode: false }),
    );
  });

  app.delete<OfFile>('/profiles/:profile/files/*', ADMINISTRATOR, async (request, reply) => {
    const { profile, '*': path } = request.params;
    const terms = { ...guarded(request, access), ifMatch: requiredIfMatch(request) };
    return await sendDraft(request, reply, profiles, () => profiles.deleteFile(profile, path, terms), 204);
  });

  // Only here: everywhere else such a body is refused by its type.
  void app.register(async (scope: FastifyInstance) => {
    scope.addContentTypeParser(CONTENT_TYPE, (_request, payload, done) => done(null, payload));
    // The bound is that of a release (storeBlob counts).
    const options = { ...reads(ADMINISTRATOR, { terms: FILE_PUT, body: 'raw' }), bodyLimit: Number.MAX_SAFE_INTEGER };
    scope.put<OfFile>('/profiles/:profile/files/*', options, async (request, reply) => {
      const { profile, '*': path } = request.params;
      const { executable = false } = FILE_PUT(request.query);
      if (!(request.body instanceof Readable)) throw wrongType(request, CONTENT_TYPE);
      const terms = {
        ...guarded(request, access),
        ifMatch: requiredIfMatch(request),
        content: request.body,
        executable,
      };
      return await sendDraft(request, reply, profiles, () =>
        untilEnd(terms.content, profiles.putFile(profile, path, terms)),
      );
    });
  });
}
