// The tables of services: exposures, and what agents report.

export const SERVICE_EXPOSURES = `
  CREATE TABLE service_exposure (
    id TEXT PRIMARY KEY,
    listen_port INTEGER NOT NULL UNIQUE,
    document TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1
  ) STRICT;
`;

export const REPORTED_SERVICES = `
  CREATE TABLE reported_services (
    agent INTEGER PRIMARY KEY,
    report TEXT NOT NULL
  ) STRICT;
  CREATE TRIGGER services_of_removed_agent AFTER DELETE ON agent BEGIN
    DELETE FROM reported_services WHERE agent = OLD.key;
  END;
`;
