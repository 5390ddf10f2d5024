// /maintenance (maintenance mode: no agent is admitted) and /maintenance/accept-clock.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { MaintenanceState } from '../../store/store.ts';
import { ADMINISTRATOR, VIEWER, type Access, reads } from '../access.ts';
import { sendReport } from '../changes/report.ts';
import { DRY_RUN } from '../changes/terms.ts';
import { bodyOf } from '../checked.ts';
import { timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';

const readMaintenance = bodyOf(
  Type.Object(
    {
      enabled: Type.Optional(Type.Boolean()),
      retryAfterSeconds: Type.Optional(Type.Integer({ minimum: 5, maximum: 3600 })),
    },
    { additionalProperties: false },
  ),
);

export function maintenanceRoutes(
  app: FastifyInstance,
  { aging, maintenanceMode, onlineAgents }: AdminServices,
  access: Access,
): void {
  app.get('/maintenance', VIEWER, async () => maintenanceJson(maintenanceMode.state));

  app.patch('/maintenance', reads(ADMINISTRATOR, { body: readMaintenance, terms: DRY_RUN }), async (request, reply) => {
    const change = readMaintenance(request.body);
    const before = maintenanceJson(maintenanceMode.state);
    if (access.termsOf(request).dryRun !== true)
      return maintenanceJson(await maintenanceMode.change(change, access.actorOf(request)));
    const after = { ...before, ...change };
    const isNew = after.enabled && !before.enabled;
    return await sendReport(reply, {
      dryRun: true,
      changed: (['enabled', 'retryAfterSeconds'] as const).flatMap((name) =>
        before[name] === after[name] ? [] : [{ name, from: before[name], to: after[name] }],
      ),
      cutOff: isNew
        ? (await onlineAgents.online()).map(({ agentId: id, name, address }) => ({ id, name, address, ...SENT_AWAY }))
        : [],
      notices: [],
      // To send agents away is the meaning of the act.
      needsForce: false,
      change: null,
      result: null,
    });
  });

  app.post('/maintenance/accept-clock', ADMINISTRATOR, async (request) => {
    const doubt = await aging.accept(access.actorOf(request));
    return {
      expectedAt: doubt === null ? null : timeOf(doubt.expectedAt),
      foundAt: doubt === null ? null : timeOf(doubt.foundAt),
    };
  });
}

const SENT_AWAY = {
  reason: 'maintenance',
  detail: 'Its session would end, and it would be refused until maintenance mode is disabled.',
} as const;

function maintenanceJson({ enabledAt, retryAfterSeconds }: MaintenanceState) {
  return { enabled: enabledAt !== null, retryAfterSeconds, enabledAt: timeOf(enabledAt) };
}
