// /agents/{agent}/revoke: ends an agent's session and revokes its certificates; and the revocation lists, which are
// public.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { revocationRoutes, type RevocationListsPort } from '../../listeners/revocation-routes.ts';
import { agentJson, restrictionReport } from './agents.ts';
import { sendReport } from '../changes/report.ts';
import { DRY_RUN } from '../changes/terms.ts';
import { ADMINISTRATOR, ANYONE, type Access, reads } from '../access.ts';
import { bodyOf, oneOf } from '../checked.ts';
import type { AdminServices } from '../services.ts';

/** `superseded` is what a renewal does by itself. */
export const ASKED_REASONS = [
  'unspecified',
  'keyCompromise',
  'affiliationChanged',
  'cessationOfOperation',
  'privilegeWithdrawn',
] as const;

const readRevocation = bodyOf(
  Type.Object({ reason: Type.Optional(oneOf(ASKED_REASONS)) }, { additionalProperties: false }),
);

export function agentRevocationRoutes(app: FastifyInstance, { revocations }: AdminServices, access: Access): void {
  app.post<{ Params: { agent: string } }>(
    '/agents/:agent/revoke',
    reads(ADMINISTRATOR, { body: readRevocation, terms: DRY_RUN }),
    async (request, reply) => {
      const { reason = 'unspecified' } = readRevocation(request.body);
      const agent = await access.agentsOf(request).find(request.params.agent);
      if (access.termsOf(request).dryRun === true) return await sendReport(reply, restrictionReport(agent, 'revoked'));
      const revoked = await revocations.revoke(agent.id, reason, access.actorOf(request));
      return await reply.send(agentJson(revoked));
    },
  );
}

/** Public, as a list for verifiers has to be. */
export function publishedLists(app: FastifyInstance, lists: RevocationListsPort): void {
  revocationRoutes(app, lists, ANYONE);
}
