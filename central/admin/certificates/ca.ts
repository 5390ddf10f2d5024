// /ca: the generations of the authority, its export with the key under a password, and its import.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { pinOf } from '../../../shared/wire/enrollment.ts';
import { validityOf } from '../../../shared/x509/validity.ts';
import { AUTHORITY_ALIAS } from '../../pki/authority/authority-file.ts';
import { spkiOf, subjectOf, thumbprintOf } from '../../pki/x509/certificate.ts';
import { pkiFault } from '../../pki/errors.ts';
import { OF_GENERATION } from '../../pki/expiry.ts';
import { rootOf, type Generation } from '../../pki/authority/generations.ts';
import { keyName } from '../../pki/x509/key-algorithms.ts';
import { ADMINISTRATOR, VIEWER, type Access, reads } from '../access.ts';
import { readKeyFile, uploadedKey } from './bodies.ts';
import { bodyOf } from '../checked.ts';
import { timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { sendReport } from '../changes/report.ts';
import { STEP } from '../changes/terms.ts';

/** For a file in a folder of its own; a client may take any other. */
const EXPORTED_FILE_NAME = 'queuegate-authority.p12';

const strict = { additionalProperties: false } as const;
const readExport = bodyOf(
  Type.Object(
    {
      password: Type.String({ maxLength: 1024 }),
      thumbprint: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
    },
    strict,
  ),
);

export function authorityRoutes(app: FastifyInstance, { pki, authorityService }: AdminServices, access: Access): void {
  const roleJson = (generation: Generation) => ({
    role: generation.role,
    roleChangedAt: timeOf(generation.since),
    ...generationJson(generation),
    usedFor: OF_GENERATION[generation.role],
  });

  app.get('/ca', VIEWER, () => ({
    generations: authorityService.generations().map(roleJson),
    pin: pki.pin(),
    signingKey: pki.signingKey.fingerprint,
  }));

  app.get<{ Params: { thumbprint: string } }>('/ca/generations/:thumbprint', VIEWER, (request) => {
    const { thumbprint } = request.params;
    const found = authorityService.generations().find(({ id }) => id === thumbprint);
    if (found === undefined) throw pkiFault('authority_unknown', { thumbprint });
    return roleJson(found);
  });

  // The one answer with a private key in it: under a password of the administrator's own, as the way to a second
  // Central.
  app.post('/ca/export', reads(ADMINISTRATOR, { body: readExport }), async (request, reply) => {
    const { generation, file } = await authorityService.export(readExport(request.body), access.actorOf(request));
    return await reply.header('cache-control', 'no-store').send({
      thumbprint: generation.id,
      alias: AUTHORITY_ALIAS,
      content: file.toString('base64'),
      fileName: EXPORTED_FILE_NAME,
    });
  });

  app.post('/ca/import', reads(ADMINISTRATOR, { body: readKeyFile, terms: STEP }), async (request, reply) => {
    const report = await authorityService.import(
      uploadedKey(readKeyFile(request.body)),
      access.termsOf(request),
      access.actorOf(request),
    );
    const { dryRun, before, generation, cutOff, notices } = report;
    const changed = [{ name: 'current', from: before, to: generation.id }];
    return await sendReport(reply, {
      dryRun,
      changed,
      cutOff,
      notices,
      change: null,
      result: generationJson(generation),
    });
  });
}

/** Member by member: the private key is beside them. */
function generationJson(generation: Pick<Generation, 'id' | 'chain' | 'origin'>) {
  const { id, chain, origin } = generation;
  const [certificate] = chain;
  const root = rootOf(generation);
  return {
    thumbprint: id,
    subject: subjectOf(certificate),
    serialNumber: certificate.serialNumber,
    keyAlgorithm: keyName(certificate.publicKey),
    notBefore: timeOf(validityOf(certificate).from.getTime()),
    notAfter: timeOf(validityOf(certificate).to.getTime()),
    origin,
    root: { thumbprint: thumbprintOf(root), subject: subjectOf(root), pin: pinOf(spkiOf(root.publicKey)) },
  };
}
