// Writes and reads the rows of service exposures and of services that agents report
// (central/store/services/exposure-store.ts). What is read and written whole is a JSON document.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { integer, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import { isOtherReport, reportDocument } from '../document-reports.ts';
import { agentKeys } from '../rows/agents/agents.ts';
import { storeFault } from '../../errors.ts';
import {
  MAX_EXPOSURES,
  type ExposureRecord,
  type ExposureSettings,
  type NewExposure,
  type ReportedServices,
} from '../../services/exposure-store.ts';

const COLUMNS = 'id, listen_port, document, version';

export function exposureWrites(database: SqlDatabase) {
  const count = database.prepare('SELECT count(*) AS exposures FROM service_exposure');
  const onPort = database.prepare('SELECT id FROM service_exposure WHERE listen_port = ?');
  const get = database.prepare(`SELECT ${COLUMNS} FROM service_exposure WHERE id = ?`);
  const insert = database.prepare('INSERT INTO service_exposure (id, listen_port, document) VALUES (?, ?, ?)');
  const update = database.prepare('UPDATE service_exposure SET document = ?, version = version + 1 WHERE id = ?');
  const remove = database.prepare('DELETE FROM service_exposure WHERE id = ?');
  const report = database.prepare(
    `INSERT INTO reported_services (agent, report) VALUES (?, ?) ON CONFLICT (agent) DO UPDATE SET report = excluded.report
      WHERE ${isOtherReport('reported_services')}`,
  );
  const keys = agentKeys(database);
  const find = (id: string): ExposureRecord => {
    const row = get.get(id);
    if (row === undefined) throw storeFault('service_exposure_unknown', { id });
    return recordOf(row);
  };
  return {
    /** Errors: service_exposure_port_taken, service_exposures_full. */
    createExposure({ id, listenPort, ...document }: NewExposure): ExposureRecord {
      const taken = onPort.get(listenPort);
      if (taken !== undefined)
        throw storeFault('service_exposure_port_taken', { port: listenPort, id: text(taken, 'id') });
      if (integer(count.get(), 'exposures') >= MAX_EXPOSURES)
        throw storeFault('service_exposures_full', { most: MAX_EXPOSURES });
      insert.run(id, listenPort, JSON.stringify(document));
      return find(id);
    },

    /** Errors: service_exposure_unknown, version_conflict. */
    changeExposure(id: string, change: Partial<ExposureSettings>, version: number | null): ExposureRecord {
      const before = find(id);
      if (version !== null && version !== before.version)
        throw storeFault('version_conflict', {
          subject: `the service exposure ${id}`,
          found: before.version,
          expected: version,
        });
      const { id: _, listenPort: __, version: ___, ...document } = { ...before, ...change };
      update.run(JSON.stringify(document), id);
      return find(id);
    },

    /** Errors: service_exposure_unknown. */
    removeExposure(id: string): void {
      find(id);
      remove.run(id);
    },

    recordServices(agentId: string, epoch: number, services: ReportedServices): void {
      report.run(keys.ofSession(agentId, epoch), reportDocument(services));
    },
  };
}

export function exposureReads(database: SqlDatabase) {
  const list = database.prepare(`SELECT ${COLUMNS} FROM service_exposure ORDER BY listen_port`);
  const reported = database.prepare(
    'SELECT report FROM reported_services JOIN agent ON agent.key = reported_services.agent WHERE agent.id = ?',
  );
  return {
    listExposures: (): ExposureRecord[] => list.all().map(recordOf),
    servicesOf(agentId: string): ReportedServices | undefined {
      const report = textOrNull(reported.get(agentId) ?? { report: null }, 'report');
      // Written by recordServices only.
      return report === null ? undefined : (JSON.parse(report) as ReportedServices);
    },
  };
}

type Document = Omit<ExposureRecord, 'id' | 'listenPort' | 'version'>;

function recordOf(row: Row): ExposureRecord {
  return {
    // Written from a record only.
    ...(JSON.parse(text(row, 'document')) as Document),
    id: text(row, 'id'),
    listenPort: integer(row, 'listen_port'),
    version: integer(row, 'version'),
  };
}
