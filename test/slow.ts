// Lists the test files that `npm test` leaves to `npm run test:long`, each with its reason and with the quicker file
// that covers the same ground in `npm test`. A file that is named on the command line always runs.
import { readFileSync, statfsSync } from 'node:fs';
import { resolve } from 'node:path';

export interface SlowFile {
  /** What takes the time; seconds in a run of CI, in which another file shares the two cores. The longest begins first. */
  readonly why: string;
  /** The quicker test that `npm test` runs. */
  readonly quick: string;
}

export const SLOW_FILES: Readonly<Record<string, SlowFile>> = {
  'test/postgres/cluster.test.ts': {
    why: '8 s: eight PostgreSQL servers start, fail over, freeze and end',
    quick: 'test/central/store/postgres/two-stores.test.ts',
  },
  'test/deploy/several-centrals.test.ts': {
    why: '12 s: two PostgreSQL servers, HAProxy, and its checks in their intervals',
    quick: 'test/deploy/proxies.test.ts',
  },
  'test/deploy/balanced-nodes.test.ts': {
    why: '40 s: two Centrals, HAProxy, and agents that return over half a minute from one that stops',
    quick: 'test/deploy/proxies.test.ts',
  },
  'test/central/store/postgres/contract.test.ts': {
    why: '220 s: a database and three threads with their connections for each of 160 tests',
    quick: 'test/central/store/postgres/two-stores.test.ts',
  },
  'test/central/store/postgres/pooled-contract.test.ts': {
    why: '220 s: the same through PgBouncer in transaction mode',
    quick: 'test/central/store/postgres/two-stores.test.ts',
  },
  'test/central/store/postgres/move-store.test.ts': {
    why: '8 s: PostgreSQL, and a store that is moved into it three times',
    quick: 'test/central/composition/migrate-store.test.ts',
  },
  'test/flow/ended-elsewhere.test.ts': {
    why: 'two Centrals on a PostgreSQL, and agents at one of them that lose their sessions by acts at the other',
    quick: 'test/central/nodes/followers.test.ts',
  },
  'test/flow/followed-nodes.test.ts': {
    why: '20 s: two Centrals on a PostgreSQL and two agents that run tasks',
    quick: 'test/central/tasks/queues.test.ts',
  },
  'test/flow/migrate-store.test.ts': {
    why: '90 s: 100,000 events are moved into PostgreSQL by a command that is killed again and again',
    quick: 'test/central/composition/migrate-store.test.ts',
  },
  'test/flow/two-nodes.test.ts': {
    why: '25 s: two Centrals on one PostgreSQL, as processes, with agents at both',
    quick: 'test/central/nodes/followers.test.ts',
  },
  'test/flow/parameters-over-nodes.test.ts': {
    why: '100 s: two real Centrals on PostgreSQL, one of which is killed and frozen in the middle of changes',
    quick: 'test/central/parameters/nodes/agreement.test.ts',
  },
  'test/central/parameters/nodes/store-away.test.ts': {
    why: '10 s: a PostgreSQL that is frozen until its clients are out of patience',
    quick: 'test/central/parameters/nodes/agreement.test.ts',
  },
  'test/flow/several-centrals.test.ts': {
    why: '120 s: nineteen real Centrals on PostgreSQL, which are killed and frozen until others lead, and first starts at once',
    quick: 'test/central/nodes/node-service.test.ts',
  },
  'test/flow/forwarding.test.ts': {
    why: '15 s: PostgreSQL, two Centrals and an agent with a service and a task',
    quick: 'test/central/forwarding/services.test.ts',
  },
  'test/flow/device-ports.test.ts': {
    why: '20 s: a real Central and agent, a hundred devices, and a rotation of the authority',
    quick: 'test/agent/local-api/devices/port.test.ts',
  },
  'test/flow/tasks.test.ts': {
    why: '25 s: a real Central, an agent that is killed, and programs that end in every way',
    quick: 'test/central/store/tasks/task-steps.test.ts',
  },
  'test/dashboard/agents.test.ts': {
    why: '150 s: Chromium in front of a real Central with real agents',
    quick: 'test/central/dashboard/files.test.ts',
  },
  'test/dashboard/cross-site.test.ts': {
    why: '25 s: Chromium in front of a real Central, and a page of another site',
    quick: 'test/central/admin/login/login.test.ts',
  },
  'test/dashboard/oidc.test.ts': {
    why: '20 s: Chromium in front of a real Central and a real OpenID provider',
    quick: 'test/central/auth/oidc/oidc.test.ts',
  },
  'test/dashboard/audit.test.ts': {
    why: '45 s: Chromium in front of a real Central',
    quick: 'test/central/admin/audit/audit.test.ts',
  },
  'test/dashboard/bulk.test.ts': {
    why: '50 s: Chromium in front of a real Central with three agents',
    quick: 'test/central/admin/agents/actions.test.ts',
  },
  'test/dashboard/enrollment.test.ts': {
    why: '140 s: Chromium in front of a real Central, and six machines that enroll',
    quick: 'test/central/enrollment/approvals.test.ts',
  },
  'test/dashboard/certificates.test.ts': {
    why: '120 s: Chromium in front of a real Central with real agents, and a whole rotation',
    quick: 'test/central/pki/rotation/rotation.test.ts',
  },
  'test/dashboard/parameters.test.ts': {
    why: '160 s: Chromium in front of a real Central, and a change that rolls back by itself',
    quick: 'test/central/parameters/service.test.ts',
  },
  'test/dashboard/texts.test.ts': {
    why: '60 s: Chromium in front of a real Central, and every page',
    quick: 'test/layout.test.ts',
  },
  'test/dashboard/live.test.ts': {
    why: '60 s: Chromium in front of a real Central, behind a line that is cut',
    quick: 'test/central/admin/changes/watch.test.ts',
  },
  'test/dashboard/tasks.test.ts': {
    why: '80 s: Chromium in front of a real Central with a real agent, whose programs write and wait',
    quick: 'test/central/store/tasks/task-steps.test.ts',
  },
  'test/dashboard/nodes.test.ts': {
    why: '40 s: Chromium in front of two real Centrals and a real PostgreSQL',
    quick: 'test/central/dashboard/files.test.ts',
  },
  'test/dashboard/store-away.test.ts': {
    why: '20 s: Chromium in front of a real Central and a real PostgreSQL, which is stopped',
    quick: 'test/central/dashboard/files.test.ts',
  },
  'test/dashboard/rollouts.test.ts': {
    why: '240 s: Chromium in front of a real Central with real agents, which try a release for a minute',
    quick: 'test/central/rollouts/machine.test.ts',
  },
  'test/central/cli/questions.test.ts': {
    why: '17 s: each command that asks, at a terminal, without one, and answered in every way',
    quick: 'test/central/cli/names.test.ts',
  },
  'test/central/pki/server/server-certificates.test.ts': {
    why: '17 s: keytool and openssl make what is installed and imported',
    quick: 'test/central/pki/server/server-identity.test.ts',
  },
  'test/central/store/sqlite/audited-acts.test.ts': {
    why: '13 s: each act in a store whose disk is full, and below its reserve',
    quick: 'test/central/audit.test.ts',
  },
  'test/agent/releases/software/target.test.ts': {
    why: '16 s: programs of Node.js that are tried, fail and are repaired',
    quick: 'test/agent/releases/software/trial.test.ts',
  },
  'test/deploy/launch.test.ts': {
    why: '20 s: starts programs that end, hang, or run, until the launcher has seen it',
    quick: 'test/deploy/packages.test.ts',
  },
  'test/flow/services.test.ts': {
    why: '40 s: a real Central, an agent, and some twenty commands',
    quick: 'test/agent/services/services.test.ts',
  },
  'test/flow/task-output.test.ts': {
    why: '25 s: a real Central and an agent, whose line is cut and which is killed',
    quick: 'test/agent/tasks/task-logs.test.ts',
  },
  'test/flow/authentication.test.ts': {
    why: '6 s: a real Central, and an agent of the test that speaks wrongly in every way',
    quick: 'test/central/auth/agent-identity.test.ts',
  },
  'test/central/enrollment/compressed-keys.test.ts': {
    why: '5 s: a revoked key in every form, by every way in',
    quick: 'test/central/enrollment/approvals.test.ts',
  },
  'test/flow/start.test.ts': {
    why: '90 s: starts and stops Central for each case',
    quick: 'test/central/composition/first-start.test.ts',
  },
  'test/central/cli/hostile-answers.test.ts': {
    why: '30 s: every command, in four formats',
    quick: 'test/central/cli/run.test.ts',
  },
  'test/central/admin/scopes/two-regions.test.ts': {
    why: '3 s: a whole Central, and every route for both regions',
    quick: 'test/central/admin/scopes/routes.test.ts',
  },
  'test/central/store/sqlite/contract.test.ts': {
    why: '70 s: opens and opens again a store with its two threads for each case',
    quick: 'test/central/store/sqlite/sqlite-store.test.ts',
  },
  'test/central/store/backup/backup.test.ts': {
    why: '50 s: keys are derived from passwords for each backup and each restore',
    quick: 'test/central/store/backup/format.test.ts',
  },
  'test/central/store/sqlite/newer-schema.test.ts': {
    why: '80 s: the whole contract of the store, a second time',
    quick: 'test/shared/sqlite/database.test.ts',
  },
  'test/central/pki/authority/cross-certificate.test.ts': {
    why: '9 s: compiles and starts Java for each root',
    quick: 'test/central/pki/authority/authority.test.ts',
  },
  'test/agent/releases/software/crashes.test.ts': {
    why: '30 s: starts the launcher and two to four daemons for each of a hundred deaths',
    quick: 'test/agent/releases/software/trial.test.ts',
  },
  'test/flow/rollout.test.ts': {
    why: '150 s: rollouts to real agents, five kills of Central after which they come back, and a trial of thirty seconds',
    quick: 'test/agent/releases/manager.test.ts',
  },
  'test/central/store/sqlite/killed-store.test.ts': {
    why: '9 s: a process that writes is killed five times',
    quick: 'test/central/store/sqlite/sqlite-store.test.ts',
  },
  'test/central/store/memory/committed.test.ts': {
    why: '8 s: what is in memory beside what a store with its two threads holds',
    quick: 'test/central/store/memory/recent-events.test.ts',
  },
  'test/central/store/sql/event-reads.test.ts': {
    why: '7 s: hundreds of readers at once',
    quick: 'test/central/store/sql/events/event-reads.test.ts',
  },
  'test/shared/keystore/pkcs12.test.ts': {
    why: '12 s: keytool and openssl write what is read, and read what was written',
    quick: 'test/shared/keystore/open.test.ts',
  },
  'test/shared/wire/bait.test.ts': {
    why: '8 s: bait in every string of every frame',
    quick: 'test/shared/wire/json-text.test.ts',
  },
  'test/shared/truststore/field-files.test.ts': {
    why: '6 s: commands on files of the field, with keytool and openssl',
    quick: 'test/shared/keystore/field-files.test.ts',
  },
  'test/shared/keystore/fuzz.test.ts': {
    why: '4 s: thousands of damaged key stores',
    quick: 'test/shared/keystore/jks.test.ts',
  },
  'test/central/composition/audit-verification.test.ts': {
    why: '4 s: a store that is closed, changed and opened for each case',
    quick: 'test/central/audit.test.ts',
  },
  'test/agent/renewal/renewal.test.ts': {
    why: '6 s: an authority, keys and certificates for each step',
    quick: 'test/central/agents/renewal.test.ts',
  },
  'test/agent/bait.test.ts': {
    why: '5 s: bait in every string that an agent takes',
    quick: 'test/shared/wire/codec.test.ts',
  },
  'test/flow/version-skew.test.ts': {
    why: '90 s: two Centrals with their agents, and the ten seconds in which a release proves itself',
    quick: 'test/flow/compatibility.test.ts',
  },
  'test/flow/takeover.test.ts': {
    why: '6 s: a real Central and its sessions, taken over again and again under messages',
    quick: 'test/agent/releases/manager.test.ts',
  },
  'test/flow/release-kills.test.ts': {
    why: '45 s: real agents, and the ten seconds in which each release proves itself',
    quick: 'test/agent/releases/crashes.test.ts',
  },
  'test/flow/upload-kills.test.ts': {
    why: '12 s: Central is killed in the middle of two uploads and starts again',
    quick: 'test/central/store/sqlite/sqlite-store.test.ts',
  },
  'test/flow/task-kills.test.ts': {
    why: '40 s: sixty tasks, half of them for queues, and seven kills of Central and of daemons',
    quick: 'test/agent/tasks/tasks.test.ts',
  },
  'test/flow/npm-package.test.ts': {
    why: '40 s: builds and packs everything, then two Centrals and their agents',
    quick: 'test/shared/bin.test.ts',
  },
  'test/flow/reverse-proxies.test.ts': {
    why: '70 s: eight proxies with an agent behind each, silent for longer than their timeouts',
    quick: 'test/deploy/proxies.test.ts',
  },
  'test/flow/prometheus.test.ts': {
    why: '10 s: a real Prometheus reads from a real Central',
    quick: 'test/deploy/prometheus.test.ts',
  },
  'test/flow/line.test.ts': {
    why: '30 s: a real proxy, and a line whose TCP handshake takes a second',
    quick: 'test/agent/dial/proxy-connect.test.ts',
  },
  'test/flow/labels.test.ts': {
    why: '25 s: three agents enroll, are disabled, drained and renamed, and connect again',
    quick: 'test/central/sessions/sessions.test.ts',
  },
  'test/flow/full-inbox.test.ts': {
    why: '6 s: an inbox fills, is reported, and has room again',
    quick: 'test/agent/store/consumers.test.ts',
  },
  'test/flow/clocks.test.ts': {
    why: '60 s: commands expire, clocks jump, and both programs are killed and run again',
    quick: 'test/agent/store/central-time.test.ts',
  },
  'test/flow/administrator-token.test.ts': {
    why: '20 s: Central runs, is stopped, and runs again',
    quick: 'test/central/composition/administrator-token.test.ts',
  },
  'test/flow/agent-names.test.ts': {
    why: '30 s: three Centrals and an enrollment per name',
    quick: 'test/shared/wire/names.test.ts',
  },
  'test/flow/backlog.test.ts': {
    why: '30 s: backlogs of many agents',
    quick: 'test/central/sessions/limits/byte-budget.test.ts',
  },
  'test/flow/certificate-record.test.ts': {
    why: '30 s: certificates run short lives',
    quick: 'test/central/enrollment/enrollment.test.ts',
  },
  'test/flow/certificates.test.ts': {
    why: '80 s: a Central per test, commit-confirm waits for its deadline',
    quick: 'test/central/pki/server/server-identity.test.ts',
  },
  'test/flow/cli.test.ts': {
    why: '80 s: a process per command',
    quick: 'test/central/cli/run.test.ts',
  },
  'test/flow/client-certificates.test.ts': {
    why: '7 s: agents that start again with another setting',
    quick: 'test/central/auth/client-certificate.test.ts',
  },
  'test/flow/descriptors.test.ts': {
    why: '30 s: agents that are asked to retry later',
    quick: 'test/central/listeners/limits/descriptors.test.ts',
  },
  'test/flow/doctor.test.ts': {
    why: '30 s: a process of the doctor for each cause',
    quick: 'test/agent/cli/commands.test.ts',
  },
  'test/flow/empty-subject.test.ts': {
    why: '8 s: Central, an agent, and a process per command',
    quick: 'test/agent/connection/field-certificates.test.ts',
  },
  'test/flow/enrollment.test.ts': {
    why: '50 s: a Central and a process for each way to enroll, and each way in which it is refused',
    quick: 'test/central/enrollment/enrollment.test.ts',
  },
  'test/flow/enrollment-approve.test.ts': {
    why: '23 s: agents wait for a decision',
    quick: 'test/central/enrollment/approvals.test.ts',
  },
  'test/flow/enrollment-offline.test.ts': {
    why: '50 s: a process per step',
    quick: 'test/central/enrollment/offline.test.ts',
  },
  'test/flow/field-profile.test.ts': {
    why: '11 s: keytool, a Central per test',
    quick: 'test/agent/trust/truststore.test.ts',
  },
  'test/flow/handshakes.test.ts': {
    why: '8 s: programs that fail to connect, each in its own way',
    quick: 'test/central/listeners/accept/connections.test.ts',
  },
  'test/flow/hostile-agent.test.ts': {
    why: '24 s: floods up to their bounds',
    quick: 'test/central/sessions/limits/agent-rate.test.ts',
  },
  'test/flow/task-accounts.test.ts': {
    why: '15 s: two accounts, and kills of both processes',
    quick: 'test/agent/tasks/runner/client.test.ts',
  },
  'test/flow/incidents.test.ts': {
    why: '11 s: thousands of refusals',
    quick: 'test/central/agents/incidents.test.ts',
  },
  'test/flow/local-accounts.test.ts': {
    why: '8 s: daemons and commands, with a terminal each',
    quick: 'test/agent/local-api/tokens.test.ts',
  },
  'test/flow/lying-agent.test.ts': {
    why: '5 s: three publications, each of which is noticed within a second',
    quick: 'test/central/pki/trust/publication.test.ts',
  },
  'test/flow/log-disk.test.ts': {
    why: '30 s: disks that fill, agents that reconnect',
    quick: 'test/shared/terminal/log-output.test.ts',
  },
  'test/flow/parameters.test.ts': {
    why: '30 s: a change waits for its deadline, Central is killed and starts again',
    quick: 'test/central/parameters/service.test.ts',
  },
  'test/flow/payload.test.ts': {
    why: '39 s: a line that flips bits until the session ends',
    quick: 'test/shared/delivery/payload.test.ts',
  },
  'test/flow/private-keys.test.ts': {
    why: '40 s: every file, log and answer of a whole life is searched',
    quick: 'test/central/pki/keys/key-material.test.ts',
  },
  'test/flow/proxied-origin.test.ts': {
    why: '4 s: a Central, and agents behind proxies',
    quick: 'test/central/listeners/accept/proxy-header.test.ts',
  },
  'test/flow/recovery.test.ts': {
    why: '69 s: delays after wrong codes',
    quick: 'test/shared/wire/recovery.test.ts',
  },
  'test/flow/refusal-flood.test.ts': {
    why: '8 s: a flood of hellos',
    quick: 'test/central/sessions/limits/refusal-lines.test.ts',
  },
  'test/flow/restart.test.ts': {
    why: '40 s: Central starts twice in each test',
    quick: 'test/central/composition/first-start.test.ts',
  },
  'test/flow/revocation.test.ts': {
    why: '7 to 17 s: an agent that dials again',
    quick: 'test/central/agents/revocation.test.ts',
  },
  'test/flow/unencrypted-off.test.ts': {
    why: '20 s: a listener moves under load',
    quick: 'test/central/listeners/reconcile.test.ts',
  },
  'test/flow/wrong-secrets.test.ts': {
    why: '40 s: delays after wrong secrets',
    quick: 'test/central/auth/wrong-attempts.test.ts',
  },
  'test/flow/webhooks.test.ts': {
    why: '8 s: Central is killed and starts again, attempts wait for seconds',
    quick: 'test/central/cli/commands/events/subscriptions.test.ts',
  },
  'test/reliability/backup.test.ts': {
    why: '17 s: backups under load',
    quick: 'test/central/store/backup/format.test.ts',
  },
  'test/reliability/consumers.test.ts': {
    why: '15 s: six kills of a daemon under load',
    quick: 'test/agent/store/consumers.test.ts',
  },
  'test/reliability/damaged-store.test.ts': {
    why: '14 s: twenty kinds of damage, each met by a process of its own',
    quick: 'test/central/store/sqlite/store-check.test.ts',
  },
  'test/reliability/disk-reserve.test.ts': {
    why: '15 s: a disk is filled',
    quick: 'test/central/store/sqlite/space.test.ts',
  },
  'test/reliability/freeze.test.ts': {
    why: '25 s: twenty agents, one stopped',
    quick: 'test/central/sessions/session.test.ts',
  },
  'test/reliability/full-disk.test.ts': {
    why: '39 s: a disk is filled twice',
    quick: 'test/shared/sqlite/group-commit.test.ts',
  },
  'test/reliability/kill.test.ts': {
    why: '40 s: 20 kills',
    quick: 'test/central/store/sqlite/sqlite-store.test.ts',
  },
  'test/reliability/kill-authority.test.ts': {
    why: '60 s: Central is killed before each commit of three acts',
    quick: 'test/central/pki/rotation/rotation.test.ts',
  },
  'test/reliability/lines.test.ts': {
    why: '16 s: lines that are cut or stall; waits for the heartbeat',
    quick: 'test/shared/delivery/ordered-log.test.ts',
  },
  'test/reliability/on-disk.test.ts': {
    why: '9 s: traces the system calls of Central and of the daemon',
    quick: 'test/shared/sqlite/group-commit.test.ts',
  },
  'test/reliability/restore.test.ts': {
    why: '13 s: both programs are restored from an earlier copy, and run on',
    quick: 'test/central/store/backup/format.test.ts',
  },
  'test/reliability/slow-disk.test.ts': {
    why: '22 s: 200 ms for each sync',
    quick: 'test/shared/sqlite/group-commit.test.ts',
  },
  'test/central/auth/oidc/provider.test.ts': {
    why: '6 s: a provider over TLS, and a whole Central that starts again and again',
    quick: 'test/central/auth/oidc/oidc.test.ts',
  },
  'test/central/subscriptions/subscriptions.test.ts': {
    why: '20 s: certificates by openssl, a store and receivers for each case',
    quick: 'test/central/cli/commands/events/subscriptions.test.ts',
  },
  'test/shared/keystore/hints.test.ts': {
    why: '6 s: keytool and openssl run the command of every hint',
    quick: 'test/shared/keystore/field-files.test.ts',
  },
  'test/shared/wire/json-text-linear.test.ts': {
    why: '5 s: texts of growing length, each read many times',
    quick: 'test/shared/wire/json-text.test.ts',
  },
  'test/shared/truststore/change.test.ts': {
    why: '9 s: keytool and openssl read what each command wrote',
    quick: 'test/shared/truststore/update.test.ts',
  },
  'test/shared/keystore/interoperability.test.ts': {
    why: '20 s: starts Java for each key store',
    quick: 'test/shared/keystore/open.test.ts',
  },
};

const named = process.argv.filter((argument) => argument.endsWith('.test.ts'));

/** The slow files, except those that the command line names. */
export const leftOut: string[] = Object.keys(SLOW_FILES).filter(
  (file) => !named.some((name) => file.includes(name.replace(/^.*\/(?=test\/)/, ''))),
);

/**
 * Every process and thread of a test runs the same code: compiled once, each starts in half the time or less
 * (nodejs.org/api/module.html#module-compile-cache).
 */
export function shareCompiledCode(): void {
  process.env['NODE_COMPILE_CACHE'] ??= resolve(import.meta.dirname, '../node_modules/.cache/compiled');
}

const MEMORY_FOLDER = '/dev/shm';
/** More than the tests write at once, and more than the disk space that Central leaves free. */
const LEAST_ROOM_BYTES = 4 * 1024 ** 3;

/**
 * Temporary folders are in memory where that is large: each of thousands of commits waits for the disk otherwise. Linux
 * only; what is about disks (test/reliability) keeps to the disk.
 */
export function useMemoryForFolders(): void {
  if (process.platform !== 'linux' || process.env['TMPDIR'] !== undefined) return;
  const mounted = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .find(([, folder]) => folder === MEMORY_FOLDER);
  // Tests start programs that they write.
  if (mounted === undefined || mounted[3]?.split(',').includes('noexec') === true) return;
  const { bavail, bsize } = statfsSync(MEMORY_FOLDER);
  if (bavail * bsize >= LEAST_ROOM_BYTES) process.env['TMPDIR'] = MEMORY_FOLDER;
}
