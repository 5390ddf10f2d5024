// Adds the administration's REST to the listeners that carry it.
import { createHttpApp } from '../listeners/http.ts';
import type { CreateAdminApp } from '../listeners/listener-apps.ts';
import { WaitingRequests } from './changes/waiting.ts';
import { adminRoutes, dashboardPages, MAX_ADMIN_BODY_BYTES } from './routes.ts';
import type { AdminServices } from './services.ts';

interface AdministrationNeeds extends Omit<AdminServices, 'waiting'> {
  readonly apps: { serveAdministration(create: CreateAdminApp): Promise<void> };
}

/** Adds the administration to the apps that listen for it. */
export async function openAdministration({ apps, ...needs }: AdministrationNeeds): Promise<void> {
  const services: AdminServices = { ...needs, waiting: new WaitingRequests(needs.metrics) };
  const { onUnexpected } = services;
  await apps.serveAdministration(async (server, gate) => {
    const app = createHttpApp({ server, gate, maxBodyBytes: MAX_ADMIN_BODY_BYTES, onUnexpected });
    await adminRoutes(app, services);
    await dashboardPages(app, services);
    await app.ready();
    return app;
  });
}
