// /certificates (expiry of every certificate) and /server-certificate (request, install, import, issue, activate).
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { CERTIFICATE_KINDS, type Place, type WatchedCertificate } from '../../pki/expiry.ts';
import { ADMINISTRATOR, VIEWER, type Access, reads } from '../access.ts';
import { bytesOf, credentialsJson, readFile, readKeyFile, swapReport, uploadedKey } from './bodies.ts';
import { bodyOf, oneOf, queryOf } from '../checked.ts';
import { pageJson, pageMembers, positionOf, readWithin, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { changeReference, sendReport } from '../changes/report.ts';
import { CHANGE, SWAP } from '../changes/terms.ts';

const readList = queryOf(
  Type.Object(
    {
      kind: Type.Optional(oneOf(CERTIFICATE_KINDS)),
      expiresWithinDays: Type.Optional(Type.Integer({ minimum: 0, maximum: 36_500 })),
      ...pageMembers,
    },
    { additionalProperties: false },
  ),
);
const strict = { additionalProperties: false } as const;
const readRequest = bodyOf(Type.Object({ keyAlgorithm: Type.Optional(oneOf(['ec', 'rsa'])) }, strict));
const slot = oneOf(['staged', 'previous']);
const readActivate = bodyOf(Type.Object({ slot }, strict));

export function certificateRoutes(
  app: FastifyInstance,
  { changes, serverCertificates, expiry }: AdminServices,
  access: Access,
): void {
  app.get('/certificates', reads(VIEWER, { query: readList }), async (request, reply) => {
    const { kind, expiresWithinDays, ...query } = readList(request.query);
    const after = positionOf(request, query);
    const agents = access.agentsOf(request);
    let hasMore = true;
    const { items, next } = await readWithin<WatchedCertificate, Place>({
      limit: query.limit,
      after: after === undefined ? undefined : placeOf(after),
      async read(place, limit) {
        const page = await expiry.list({ kind, expiresWithinDays, limit, after: place });
        hasMore = page.next !== null;
        return page.certificates;
      },
      isLast: () => !hasMore,
      // Those of Central itself are of no agent.
      async fitting(rows) {
        const here = new Set(
          await agents.fitting(
            rows.filter(({ agent }) => agent !== null),
            ({ agent }) => agent,
          ),
        );
        return rows.filter((row) => row.agent === null || here.has(row));
      },
      placeOf: ({ notAfter, thumbprint }) => ({ notAfter, thumbprint }),
    });
    return pageJson(
      request,
      reply,
      items.map(watchedJson),
      next === null ? null : `${next.notAfter}.${next.thumbprint}`,
    );
  });

  app.get('/server-certificate', VIEWER, async () => {
    const { current, staged, previous, request } = serverCertificates.slots();
    return {
      current: credentialsJson(current),
      staged: credentialsJson(staged),
      previous: credentialsJson(previous),
      request: request === undefined ? null : { csr: request.csr, createdAt: timeOf(request.madeAt) },
      change: changeReference(await changes.pendingChange('server-certificate')),
    };
  });

  app.post('/server-certificate/request', reads(ADMINISTRATOR, { body: readRequest }), async (request, reply) => {
    const { keyAlgorithm = 'ec' } = readRequest(request.body);
    return await reply.code(201).send({
      csr: await serverCertificates.request(keyAlgorithm, access.actorOf(request)),
    });
  });

  app.delete('/server-certificate/request', ADMINISTRATOR, async (request, reply) => {
    await serverCertificates.discardRequest(access.actorOf(request));
    return await reply.code(204).send();
  });

  app.delete('/server-certificate/staged', ADMINISTRATOR, async (request, reply) => {
    await serverCertificates.discard(access.actorOf(request));
    return await reply.code(204).send();
  });

  swapRoutes(app, serverCertificates, access);
}

/** What puts another certificate into use, or stages it. */
function swapRoutes(
  app: FastifyInstance,
  serverCertificates: AdminServices['serverCertificates'],
  access: Access,
): void {
  app.post(
    '/server-certificate/install',
    reads(ADMINISTRATOR, { body: readFile, terms: SWAP }),
    async (request, reply) => {
      const { content, fileName: name = 'the file', password } = readFile(request.body);
      const report = await serverCertificates.install(
        { name, bytes: bytesOf('/content', content), password },
        access.termsOf(request),
        access.actorOf(request),
      );
      return await sendReport(reply, swapReport(report));
    },
  );

  app.post(
    '/server-certificate/import',
    reads(ADMINISTRATOR, { body: readKeyFile, terms: SWAP }),
    async (request, reply) => {
      const report = await serverCertificates.import(
        uploadedKey(readKeyFile(request.body)),
        access.termsOf(request),
        access.actorOf(request),
      );
      return await sendReport(reply, swapReport(report));
    },
  );

  app.post('/server-certificate/issue', reads(ADMINISTRATOR, { terms: SWAP }), async (request, reply) => {
    const report = await serverCertificates.generate(access.termsOf(request), access.actorOf(request));
    return await sendReport(reply, swapReport(report));
  });

  app.post(
    '/server-certificate/activate',
    reads(ADMINISTRATOR, { body: readActivate, terms: CHANGE }),
    async (request, reply) => {
      const { slot } = readActivate(request.body);
      const activate = slot === 'staged' ? serverCertificates.activate : serverCertificates.restore;
      const report = await activate.call(serverCertificates, access.termsOf(request), access.actorOf(request));
      return await sendReport(reply, swapReport(report));
    },
  );
}

function placeOf(text: string): Place {
  const [notAfter = '', thumbprint = ''] = text.split('.');
  return { notAfter: Number(notAfter), thumbprint };
}

function watchedJson({
  kind,
  slot,
  subject,
  thumbprint,
  notBefore,
  notAfter,
  daysLeft,
  usedFor,
  agent,
}: WatchedCertificate) {
  return {
    kind,
    slot: agent === null ? slot : null,
    agent: agent === null ? null : { id: agent, name: slot },
    subject,
    thumbprint,
    notBefore: timeOf(notBefore),
    notAfter: timeOf(notAfter),
    daysLeft,
    usedFor,
  };
}
