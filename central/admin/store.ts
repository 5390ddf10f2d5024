// /store/backup and /store/restore: the whole store with its keys, sealed with a password. The bytes pass through;
// nothing is kept.
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { whenClosed } from '../../shared/http/closed.ts';
import { LEAST_PASSWORD, MOST_PASSWORD, type BackupFacts } from '../store/backup/format.ts';
import { ADMINISTRATOR, type Access, reads } from './access.ts';
import { bodyOf } from './checked.ts';
import { requestInvalid } from './errors.ts';
import type { AdminServices } from './services.ts';

const BACKUP_TYPE = 'application/octet-stream';
/** The password of a restore, base64url of its UTF-8: the body is the backup itself. */
const PASSWORD_HEADER = 'queuegate-password';

const readBackup = bodyOf(
  Type.Object({ password: Type.String({ maxLength: MOST_PASSWORD }) }, { additionalProperties: false }),
);

export function backupRoutes(app: FastifyInstance, { applyRestore, backups }: AdminServices, access: Access): void {
  app.post('/store/backup', reads(ADMINISTRATOR, { body: readBackup }), async (request, reply) => {
    const { password } = readBackup(request.body);
    const { facts, sealed } = await backups.make(password, access.actorOf(request));
    const name = `central-${facts.created.slice(0, 19).replaceAll(':', '-')}.qgbackup`;
    // A client that leaves, however early: the copy on the disk goes, too.
    whenClosed(reply.raw, () => sealed.destroy());
    return await reply
      .type(BACKUP_TYPE)
      .header('cache-control', 'no-store')
      .header('content-disposition', `attachment; filename="${name}"`)
      .send(sealed);
  });

  // Only here: everywhere else such a body is refused by its type.
  void app.register(async (scope: FastifyInstance) => {
    scope.addContentTypeParser(BACKUP_TYPE, (_request, payload, done) => done(null, payload));
    // The bound is the room on the disk (Backups.stage).
    scope.post(
      '/store/restore',
      { ...reads(ADMINISTRATOR, { body: 'raw' }), bodyLimit: Number.MAX_SAFE_INTEGER },
      async (request, reply) => {
        if (!(request.body instanceof Readable))
          throw requestInvalid([
            {
              header: 'Content-Type',
              detail: 'The body is not a backup.',
              allowed: [BACKUP_TYPE],
              found: request.headers['content-type']?.slice(0, 64) ?? null,
            },
          ]);
        const staged = await backups.stage(request.body, passwordOf(request), access.actorOf(request));
        // Central ends when this answer is out.
        whenClosed(reply.raw, () => applyRestore(staged));
        return await reply
          .code(202)
          .header('connection', 'close')
          .send({ backup: backupJson(staged.facts) });
      },
    );
  });
}

/** What a backup says of itself. */
export function backupJson({ created, central, version, bytes }: BackupFacts) {
  return { createdAt: created, central, version, bytes };
}

function passwordOf(request: FastifyRequest): string {
  const header = request.headers[PASSWORD_HEADER];
  if (typeof header !== 'string' || !/^[\w-]{1,8192}$/.test(header)) {
    throw requestInvalid([
      {
        header: 'Queuegate-Password',
        detail: `The header is missing or not base64url; allowed: the password of the backup (${LEAST_PASSWORD} characters or more), UTF-8, as base64url.`,
        allowed: null,
        found: null,
      },
    ]);
  }
  return Buffer.from(header, 'base64url').toString('utf8');
}
