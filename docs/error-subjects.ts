// The parts of ERRORS.md: every error table of the source, with the heading and the reader that it gets there.
import { ADMIN_ERRORS } from '../central/admin/errors.ts';
import { DRAIN_ERRORS } from '../central/agents/acts/drains.ts';
import { SELECTOR_ERRORS } from '../central/agents/selectors.ts';
import { AUTH_ERRORS, PLACE_ERRORS } from '../central/auth/errors.ts';
import { CHANGE_ERRORS } from '../central/change/errors.ts';
import { NOTICES } from '../central/change/report.ts';
import { CLI_ERRORS } from '../central/cli/errors.ts';
import { ROLLOUT_CAUSES, ROLLOUT_ERRORS } from '../central/rollouts/errors.ts';
import { CONFIG_ERRORS } from '../central/config.ts';
import { HANDSHAKE_ERRORS } from '../central/listeners/accept/handshake-faults.ts';
import { HTTP_ERRORS, LISTENER_ERRORS } from '../central/listeners/errors.ts';
import { PARAMETER_ERRORS } from '../central/parameters/errors.ts';
import { PKI_ERRORS, ROTATION_ERRORS } from '../central/pki/errors.ts';
import { PROBLEM_ERRORS } from '../central/problems.ts';
import { BACKUP_ERRORS } from '../central/store/backup/errors.ts';
import { STATE_CAUSES } from '../central/store/agents/state-reasons.ts';
import { STORE_ERRORS } from '../central/store/errors.ts';
import { AGENT_ERRORS } from '../agent/errors.ts';
import { DEVICE_PORT_ERRORS } from '../agent/local-api/devices/errors.ts';
import { SOFTWARE_UPDATE_ERRORS } from '../agent/releases/software/errors.ts';
import { DISK_ERRORS, FILE_ERRORS } from '../shared/files/errors.ts';
import { MESSAGE_ERRORS } from '../shared/delivery/errors.ts';
import type { ErrorTable } from '../shared/errors.ts';
import { KEYSTORE_ERRORS } from '../shared/keystore/errors.ts';
import { PRIVATE_KEY_ERRORS } from '../shared/keystore/key-file.ts';
import { LOCAL_SOCKET_ERRORS } from '../shared/platform/local-socket.ts';
import { PROPERTIES_ERRORS } from '../shared/settings/properties.ts';
import { SETTINGS_ERRORS } from '../shared/settings/settings.ts';
import { OIDC_ERRORS } from '../central/auth/oidc/errors.ts';
import { DASHBOARD_ERRORS } from '../central/dashboard/errors.ts';
import { FORWARDING_ERRORS } from '../central/forwarding/errors.ts';
import { NODE_ERRORS } from '../central/store/nodes/errors.ts';
import { PROFILE_ERRORS } from '../central/profiles/errors.ts';
import { SOFTWARE_ERRORS } from '../central/software/errors.ts';
import { SERVICE_ERRORS } from '../central/services/errors.ts';
import { SUBSCRIPTION_ERRORS } from '../central/subscriptions/errors.ts';
import { TASK_ERRORS } from '../central/tasks/errors.ts';
import { CENTRAL_TASK_CAUSES } from '../central/store/tasks/task-steps.ts';
import { TASK_CAUSES } from '../agent/tasks/causes.ts';
import { RUNNER_ERRORS } from '../agent/tasks/runner/server.ts';
import { DOWNLOAD_ERRORS } from '../central/profiles/downloads/errors.ts';
import { MOVE_ERRORS } from '../central/store/move/errors.ts';
import { POSTGRES_ERRORS } from '../central/store/postgres/errors.ts';
import { RELEASE_ERRORS } from '../shared/releases/errors.ts';
import { DATABASE_ERRORS } from '../shared/sqlite/errors.ts';
import { LINE_ERRORS } from '../shared/terminal/output.ts';
import { TRUSTSTORE_ERRORS } from '../shared/truststore/errors.ts';
import { REFUSALS } from '../shared/wire/refusals.ts';

/** The readers of ERRORS.md, in the order of its parts. */
export const READERS = {
  agent: {
    title: 'For operators of an agent',
    about: 'In the log and the status of an agent, and as answers of `queue-agent`.',
  },
  client: {
    title: 'For API clients',
    about: 'Answers of the REST API of Central and of the local API of an agent to programs that use them.',
  },
  central: {
    title: 'For operators of Central',
    about: 'Answers of `queuegate` and of the administration, and what Central writes at its start and into its log.',
  },
  both: {
    title: 'For operators of either program',
    about: 'Both programs read configuration, files, key stores and data folders with the same code.',
  },
} as const;
export type Reader = keyof typeof READERS;

/** One error table with the heading it gets in ERRORS.md. */
export interface ErrorSubject {
  /** The name of the constant in the source. */
  readonly table: string;
  readonly title: string;
  /** Who meets these errors: the part of ERRORS.md in which they are. */
  readonly reader: Reader;
  /** Where they appear. */
  readonly about: string;
  readonly errors: ErrorTable;
}

/** Every error table of the source, in the order of ERRORS.md. A table that is missing here fails test/docs.test.ts. */
export const ERROR_SUBJECTS: readonly ErrorSubject[] = [
  {
    table: 'REFUSALS',
    reader: 'agent',
    title: 'Sessions: refusals and close codes',
    about:
      'The last word of a session, as a `refuse` frame and as the close code after it ([PROTOCOL.md](PROTOCOL.md#refusals-and-close-codes)). The log of the side that refused and the status of the agent show them.',
    errors: REFUSALS,
  },
  {
    table: 'AGENT_ERRORS',
    reader: 'agent',
    title: 'Agent: enrollment, connection, local API',
    about:
      'In the log of the agent, in its status (`GET /api/v1/status` of the local API), and as the answer of its commands. Those with an HTTP status are answers of the local API.',
    errors: AGENT_ERRORS,
  },
  {
    table: 'DEVICE_PORT_ERRORS',
    reader: 'agent',
    title: 'Agent: the port for devices',
    about:
      'In the log of the agent and among the problems of its status ([LOCAL-API.md](LOCAL-API.md#the-port-for-devices)). Those with an HTTP status are answers of the port.',
    errors: DEVICE_PORT_ERRORS,
  },
  {
    table: 'SOFTWARE_UPDATE_ERRORS',
    reader: 'agent',
    title: 'Agent: updates of its software',
    about:
      'In the log and the status of an agent, and with its state in a rollout. Each leaves the agent on the software that it runs.',
    errors: SOFTWARE_UPDATE_ERRORS,
  },
  {
    table: 'TASK_CAUSES',
    reader: 'client',
    title: 'Tasks: why one did not run, or how it ended',
    about: 'What agents report, in `stateReason` of a task ([TASKS.md](TASKS.md)).',
    errors: TASK_CAUSES,
  },
  {
    table: 'RUNNER_ERRORS',
    reader: 'both',
    title: 'The runner of tasks',
    about: 'When `queue-agent runner` does not start ([TASKS.md](TASKS.md#accounts)).',
    errors: RUNNER_ERRORS,
  },
  {
    table: 'CENTRAL_TASK_CAUSES',
    reader: 'client',
    title: 'Tasks that Central gave up',
    about: 'In `stateReason` of a task: the agent did not report in time.',
    errors: CENTRAL_TASK_CAUSES,
  },
  {
    table: 'TASK_ERRORS',
    reader: 'client',
    title: 'Tasks: requests',
    about: 'Answers to `POST /tasks` of the REST API of Central. Nothing runs.',
    errors: TASK_ERRORS,
  },
  {
    table: 'MESSAGE_ERRORS',
    reader: 'client',
    title: 'Messages from producers',
    about:
      'Answers to events at the local API of an agent and to commands at the REST API of Central. Nothing of the request is stored.',
    errors: MESSAGE_ERRORS,
  },
  {
    table: 'LINE_ERRORS',
    reader: 'both',
    title: 'Command lines',
    about:
      'Answers of `queuegate`, `queue-agent` and the truststore commands of both to a line that they do not understand.',
    errors: LINE_ERRORS,
  },
  {
    table: 'ROLLOUT_ERRORS',
    reader: 'central',
    title: 'Rollouts',
    about: 'Answers of the administration to acts on rollouts, which change nothing then.',
    errors: ROLLOUT_ERRORS,
  },
  {
    table: 'ROLLOUT_CAUSES',
    reader: 'central',
    title: 'Rollouts: causes that Central records',
    about:
      'The `stateReason` of a rollout, or of an agent in it. Other causes of an agent are those that it reports itself.',
    errors: ROLLOUT_CAUSES,
  },
  {
    table: 'STATE_CAUSES',
    reader: 'central',
    title: 'States of agents',
    about:
      'The `stateReason` of an agent and in its history. A session that Central ended has the code of that refusal ([Sessions](#sessions-refusals-and-close-codes)).',
    errors: STATE_CAUSES,
  },
  {
    table: 'RELEASE_ERRORS',
    reader: 'both',
    title: 'Releases',
    about: 'What Central and the agent say of manifests, their files, and instructions to take a release.',
    errors: RELEASE_ERRORS,
  },
  {
    table: 'TRUSTSTORE_ERRORS',
    reader: 'both',
    title: 'Truststore commands',
    about: 'Answers of `queue-agent truststore` and of `queuegate truststore`, which are one command.',
    errors: TRUSTSTORE_ERRORS,
  },
  {
    table: 'KEYSTORE_ERRORS',
    reader: 'both',
    title: 'Key stores and trust stores',
    about:
      'Reading and writing JKS, PKCS#12, PEM and DER. Whatever is wrong with a truststore, the agent makes no connection without verification.',
    errors: KEYSTORE_ERRORS,
  },
  {
    table: 'PRIVATE_KEY_ERRORS',
    reader: 'central',
    title: 'Central: files with a private key',
    about: 'Answers to imports of a certificate or an authority with its key ([CERTIFICATES.md](CERTIFICATES.md)).',
    errors: PRIVATE_KEY_ERRORS,
  },
  {
    table: 'PKI_ERRORS',
    reader: 'central',
    title: 'Central: certificates and enrollment',
    about:
      'Answers to enrollments (HTTP), to acts on the authority and on certificates ([CERTIFICATES.md](CERTIFICATES.md)) and to changes of the certificate parameters, and reasons why Central does not start.',
    errors: PKI_ERRORS,
  },
  {
    table: 'ROTATION_ERRORS',
    reader: 'central',
    title: 'Central: rotation of the authority',
    about: 'Answers to the steps of a rotation ([CERTIFICATES.md](CERTIFICATES.md#rotation)).',
    errors: ROTATION_ERRORS,
  },
  {
    table: 'CHANGE_ERRORS',
    reader: 'central',
    title: 'Central: changes with a confirmation',
    about:
      'Answers to changes of parameters and of the server certificate, and to their confirmation and rollback ([REST.md](REST.md)).',
    errors: CHANGE_ERRORS,
  },
  {
    table: 'NOTICES',
    reader: 'central',
    title: 'Central: notices of a change',
    about: 'Not errors: what a report of an act that may cut agents off says beside them (`notices`).',
    errors: NOTICES,
  },
  {
    table: 'PARAMETER_ERRORS',
    reader: 'central',
    title: 'Central: parameters',
    about: 'Answers of the parameters API.',
    errors: PARAMETER_ERRORS,
  },
  {
    table: 'AUTH_ERRORS',
    reader: 'client',
    title: 'Central: access to the administration',
    about: 'Answers of every path of the REST API that needs a token.',
    errors: AUTH_ERRORS,
  },
  {
    table: 'OIDC_ERRORS',
    reader: 'client',
    title: 'Central: sign-in with OpenID Connect',
    about:
      'What the sign-in page of the dashboard shows, and what refuses a start with such settings ([DASHBOARD.md](DASHBOARD.md#sign-in-with-your-organization)).',
    errors: OIDC_ERRORS,
  },
  {
    table: 'ADMIN_ERRORS',
    reader: 'client',
    title: 'Central: requests to the administration',
    about: 'Answers of the REST API ([REST.md](REST.md)).',
    errors: ADMIN_ERRORS,
  },
  {
    table: 'HTTP_ERRORS',
    reader: 'client',
    title: 'Central: HTTP on any port',
    about: 'Answers to what is wrong with a request itself, on the ports of the administration and of the agents.',
    errors: HTTP_ERRORS,
  },
  {
    table: 'STORE_ERRORS',
    reader: 'central',
    title: 'Central: agents, tokens, versions',
    about: 'What the store refuses, whatever engine it runs on.',
    errors: STORE_ERRORS,
  },
  {
    table: 'DRAIN_ERRORS',
    reader: 'central',
    title: 'Central: drains',
    about: 'Answers to `/drains` of the REST API, and of its commands.',
    errors: DRAIN_ERRORS,
  },
  {
    table: 'SELECTOR_ERRORS',
    reader: 'central',
    title: 'Central: selectors of agents',
    about: 'Answers to acts and lists that name several agents by labels, names or a list of agents.',
    errors: SELECTOR_ERRORS,
  },
  {
    table: 'SUBSCRIPTION_ERRORS',
    reader: 'central',
    title: 'Central: subscriptions to events',
    about:
      'Answers to `/subscriptions` of the REST API, and why deliveries to a webhook fail ([OPERATIONS.md](OPERATIONS.md#webhooks)).',
    errors: SUBSCRIPTION_ERRORS,
  },
  {
    table: 'SERVICE_ERRORS',
    reader: 'central',
    title: 'Central: services of agents',
    about:
      'Answers to `/service-exposures` of the REST API, and to callers of an exposed service ([SERVICES.md](SERVICES.md)).',
    errors: SERVICE_ERRORS,
  },
  {
    table: 'NODE_ERRORS',
    reader: 'central',
    title: 'Central: nodes',
    about: 'Answers to `/nodes` of the REST API, and to its commands, such as `queuegate nodes list`.',
    errors: NODE_ERRORS,
  },
  {
    table: 'FORWARDING_ERRORS',
    reader: 'central',
    title: 'Central: agents at another node',
    about:
      'With several Centrals on one store: answers to callers of services and readers of the output of tasks, whose agent has its session at another node.',
    errors: FORWARDING_ERRORS,
  },
  {
    table: 'BACKUP_ERRORS',
    reader: 'central',
    title: 'Central: backup and restore',
    about:
      'Answers of `queuegate store backup` and `queuegate store restore`, and of their paths of the REST API ([OPERATIONS.md](OPERATIONS.md)).',
    errors: BACKUP_ERRORS,
  },
  {
    table: 'CLI_ERRORS',
    reader: 'central',
    title: 'Command line of the administrator',
    about: 'Answers of `queuegate`. What Central refuses is shown with the code that Central gave.',
    errors: CLI_ERRORS,
  },
  {
    table: 'HANDSHAKE_ERRORS',
    reader: 'central',
    title: 'Central: failed connections',
    about:
      'Causes in `GET /api/v1/handshake-failures` and in the metric `queuegate_handshake_failures_total`, beside the codes of refused sessions and enrollments. What agents say of the same is under "Agent".',
    errors: HANDSHAKE_ERRORS,
  },
  {
    table: 'PLACE_ERRORS',
    reader: 'central',
    title: 'Central: places for pending connections',
    about: 'Causes in the same record. An agent reads `busy` and reconnects automatically; anything else is cut.',
    errors: PLACE_ERRORS,
  },
  {
    table: 'LISTENER_ERRORS',
    reader: 'central',
    title: 'Central: listeners',
    about: 'Binding of ports, at the start and when a parameter moves one.',
    errors: LISTENER_ERRORS,
  },
  {
    table: 'DASHBOARD_ERRORS',
    reader: 'central',
    title: 'Central: dashboard',
    about: 'Answers to a browser instead of the page.',
    errors: DASHBOARD_ERRORS,
  },
  {
    table: 'PROFILE_ERRORS',
    reader: 'central',
    title: 'Central: profiles',
    about: 'Importing, editing and preparing profiles. Nothing of a refused request is kept.',
    errors: PROFILE_ERRORS,
  },
  {
    table: 'SOFTWARE_ERRORS',
    reader: 'central',
    title: 'Central: releases of the software',
    about: 'Importing, finding and deleting them. Nothing of a refused archive is kept.',
    errors: SOFTWARE_ERRORS,
  },
  {
    table: 'DOWNLOAD_ERRORS',
    reader: 'central',
    title: 'Central: downloads of releases',
    about: "Answers on the agents' ports to the download of a manifest or of a file.",
    errors: DOWNLOAD_ERRORS,
  },
  {
    table: 'PROBLEM_ERRORS',
    reader: 'central',
    title: 'Central: problems in the status',
    about:
      '`problems` in `GET /api/v1/status` and `queuegate status`, beside the codes of other errors; `reasons` in `GET /api/v1/health/ready`.',
    errors: PROBLEM_ERRORS,
  },
  {
    table: 'CONFIG_ERRORS',
    reader: 'central',
    title: 'Central: start',
    about: 'Central does not start.',
    errors: CONFIG_ERRORS,
  },
  {
    table: 'POSTGRES_ERRORS',
    reader: 'central',
    title: 'PostgreSQL and nodes',
    about: 'Where store.url is set.',
    errors: POSTGRES_ERRORS,
  },
  {
    table: 'MOVE_ERRORS',
    reader: 'central',
    title: 'Moving a store into PostgreSQL',
    about: 'From `queuegate-central migrate-store`.',
    errors: MOVE_ERRORS,
  },
  {
    table: 'DATABASE_ERRORS',
    reader: 'both',
    title: 'Data folders and stores',
    about: 'Of Central and of the agent alike.',
    errors: DATABASE_ERRORS,
  },
  {
    table: 'LOCAL_SOCKET_ERRORS',
    reader: 'both',
    title: 'Local sockets',
    about:
      'Of Central and of the agent alike: the socket in the data folder, by which programs on the same host reach them.',
    errors: LOCAL_SOCKET_ERRORS,
  },
  {
    table: 'SETTINGS_ERRORS',
    reader: 'both',
    title: 'Configuration: settings',
    about: 'Of Central and of the agent alike ([CONFIGURATION.md](CONFIGURATION.md)).',
    errors: SETTINGS_ERRORS,
  },
  {
    table: 'PROPERTIES_ERRORS',
    reader: 'both',
    title: 'Configuration: syntax of the files',
    about: 'Of Central and of the agent alike.',
    errors: PROPERTIES_ERRORS,
  },
  {
    table: 'FILE_ERRORS',
    reader: 'both',
    title: 'Files',
    about: 'Every file that somebody named: configuration, truststore, certificate, key.',
    errors: FILE_ERRORS,
  },
  {
    table: 'DISK_ERRORS',
    reader: 'both',
    title: 'Disks',
    about:
      'Why a file could not be written, or a store could not be read: the disk, its quota, or the limits of the process.',
    errors: DISK_ERRORS,
  },
];
