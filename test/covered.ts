// Lists the source files that have no test of their own name, by the test that covers them. test/layout.test.ts holds the list to the code:
// a file of 40 lines or more that exports a value has test/<its path>.test.ts or is listed here, and the test named here reaches it.
// When a file moves, move its line; when it gets a test of its own, delete the line.

export interface CoveredFiles {
  /** The test that covers the files. */
  readonly by: string;
  /** Why that test is the right place. */
  readonly why: string;
  readonly files: readonly string[];
}

export const COVERED_ELSEWHERE: readonly CoveredFiles[] = [
  {
    by: 'test/agent/conf.test.ts',
    why: 'Configuration of the agent.',
    files: ['shared/settings/profile-truststore.ts'],
  },
  {
    by: 'test/agent/connection/connection.test.ts',
    why: 'A connection against a false Central.',
    files: ['agent/connection/control.ts', 'agent/connection/tls-probe.ts'],
  },
  {
    by: 'test/agent/local-api/listeners.test.ts',
    why: 'The local API over real sockets.',
    files: ['agent/local-api/client.ts', 'agent/local-api/file.ts'],
  },
  {
    by: 'test/agent/local-api/strangers.test.ts',
    why: 'The local API over real sockets.',
    files: ['agent/local-api/connections.ts', 'agent/local-api/server.ts'],
  },
  {
    by: 'test/agent/store/inbox.test.ts',
    why: 'The store of the agent.',
    files: ['agent/store/commands.ts', 'agent/store/migrations.ts'],
  },
  {
    by: 'test/agent/store/store.test.ts',
    why: 'The store of the agent.',
    files: ['agent/store/incidents.ts'],
  },
  {
    by: 'test/agent/trust/updates.test.ts',
    why: 'Updates of the truststore.',
    files: ['agent/trust/managed-roots.ts'],
  },
  {
    by: 'test/central/admin/access.test.ts',
    why: 'Bounds of tokens, by REST.',
    files: ['central/admin/token-bounds.ts'],
  },
  {
    by: 'test/central/admin/certificates/certificates.test.ts',
    why: 'Routes of certificates, by REST.',
    files: [
      'central/admin/certificates/ca.ts',
      'central/admin/certificates/bodies.ts',
      'central/admin/certificates/rotation.ts',
      'central/admin/certificates/server-certificate.ts',
    ],
  },
  {
    by: 'test/central/admin/resources.test.ts',
    why: 'Routes, by REST.',
    files: [
      'central/admin/agents/agents.ts',
      'central/admin/agents/enrollment.ts',
      'central/admin/body.ts',
      'central/admin/checked.ts',
      'central/admin/messages/commands.ts',
      'central/admin/messages/events.ts',
      'central/admin/changes/changes.ts',
      'central/admin/changes/parameters.ts',
      'central/admin/routes.ts',
      'central/admin/status.ts',
      'central/admin/tokens.ts',
    ],
  },
  {
    by: 'test/central/auth/api-tokens.test.ts',
    why: 'Audit entries of tokens.',
    files: ['central/audit.ts'],
  },
  {
    by: 'test/central/auth/wrong-attempts.test.ts',
    why: 'Attempts with wrong secrets.',
    files: ['central/auth/attempt-records.ts'],
  },
  {
    by: 'test/central/cli/run.test.ts',
    why: 'Commands as an administrator runs them, against a REST server of the test.',
    files: [
      'central/cli/client.ts',
      'central/cli/command.ts',
      'central/cli/commands/agents.ts',
      'central/cli/commands/ca.ts',
      'central/cli/commands/changes.ts',
      'central/cli/commands/server-certificate.ts',
      'central/cli/commands/store.ts',
      'central/cli/files.ts',
      'central/cli/terms.ts',
      'central/cli/commands/enrollments.ts',
      'central/cli/commands/events.ts',
      'central/cli/commands/failures.ts',
      'central/cli/commands/parameters.ts',
      'central/cli/commands/rotation.ts',
      'central/cli/commands/tokens.ts',
      'central/cli/secret-answer.ts',
    ],
  },
  {
    by: 'test/central/enrollment/compressed-keys.test.ts',
    why: 'Each way to a certificate, with each form of a key.',
    files: [
      'central/agents/renewal.ts',
      'central/enrollment/credentials.ts',
      'central/enrollment/recovery.ts',
      'central/enrollment/tokens.ts',
      'central/pki/pki.ts',
      'shared/asn1/writer.ts',
    ],
  },
  {
    by: 'test/central/listeners/accept/connections.test.ts',
    why: 'Connections over real sockets.',
    files: [
      'central/listeners/accept/handshake-faults.ts',
      'central/listeners/agent-socket.ts',
      'central/listeners/bind.ts',
      'central/listeners/http.ts',
      'central/listeners/problem.ts',
    ],
  },
  {
    by: 'test/central/listeners/limits/request-gate.test.ts',
    why: 'Requests over real sockets.',
    files: ['central/listeners/limits/unread-responses.ts'],
  },
  {
    by: 'test/central/listeners/reconcile.test.ts',
    why: 'Listeners over real ports.',
    files: ['central/listeners/listener-apps.ts', 'central/listeners/local-socket.ts'],
  },
  {
    by: 'test/central/parameters/document.test.ts',
    why: 'Values as PARAMETERS.md names them.',
    files: ['central/parameters/values.ts'],
  },
  {
    by: 'test/central/parameters/service.test.ts',
    why: 'Changes of parameters as one act.',
    files: [
      'central/parameters/definitions.ts',
      'central/parameters/preflight.ts',
      'central/parameters/state.ts',
      'central/parameters/validate.ts',
    ],
  },
  {
    by: 'test/central/pki/authority/authority.test.ts',
    why: 'The authority with its folder.',
    files: [
      'central/pki/authority/authority-file.ts',
      'central/pki/authority/generations.ts',
      'central/pki/authority/service.ts',
      'central/pki/authority/signing-key.ts',
    ],
  },
  {
    by: 'test/central/pki/keys/key-material.test.ts',
    why: 'Sealed keys.',
    files: ['central/pki/keys/envelope.ts', 'central/pki/keys/key-encryption-key.ts'],
  },
  {
    by: 'test/central/pki/rotation/rotation.test.ts',
    why: 'The steps of a rotation.',
    files: ['central/pki/rotation/progress.ts'],
  },
  {
    by: 'test/central/pki/server/server-certificates.test.ts',
    why: 'Server certificates from every source, read by openssl.',
    files: [
      'central/pki/server/live-certificate.ts',
      'central/pki/server/slots.ts',
      'central/pki/server/validate.ts',
      'central/pki/trust/trust-bundle.ts',
      'central/pki/x509/upload.ts',
      'shared/keystore/key-file.ts',
    ],
  },
  {
    by: 'test/central/pki/x509/certificate.test.ts',
    why: 'Certificates and requests, read by openssl.',
    files: ['central/pki/x509/chain.ts', 'central/pki/x509/csr.ts', 'central/pki/x509/distinguished-name.ts'],
  },
  {
    by: 'test/central/pki/x509/crl.test.ts',
    why: 'Revocation lists.',
    files: ['central/pki/revocation-lists.ts', 'central/pki/x509/key-algorithms.ts'],
  },
  {
    by: 'test/central/sessions/session.test.ts',
    why: 'A session against a false agent.',
    files: ['central/sessions/intake.ts', 'central/sessions/outflow.ts'],
  },
  {
    by: 'test/central/store/backup/administration.test.ts',
    why: 'Backups by REST.',
    files: ['central/admin/store.ts'],
  },
  {
    by: 'test/central/store/sqlite/sqlite-store.test.ts',
    why: 'The contract of the store, through both threads.',
    files: [
      'central/store/agent-names.ts',
      'central/store/agent-store.ts',
      'central/store/certificate-store.ts',
      'central/store/enrollment-store.ts',
      'central/store/space/bounds.ts',
      'central/store/sqlite/calls.ts',
      'central/store/sqlite/migrations.ts',
      'central/store/sqlite/retention.ts',
      'central/store/sqlite/rows/agent-names.ts',
      'central/store/sqlite/rows/agent-reads.ts',
      'central/store/sqlite/rows/agents.ts',
      'central/store/sqlite/rows/audit.ts',
      'central/store/sqlite/rows/certificates.ts',
      'central/store/sqlite/rows/day-quota.ts',
      'central/store/sqlite/rows/enrollments.ts',
      'central/store/sqlite/rows/incidents.ts',
      'central/store/sqlite/rows/messages.ts',
      'central/store/sqlite/rows/parameters.ts',
      'central/store/sqlite/rows/tokens.ts',
      'central/store/sqlite/store-files.ts',
      'central/store/sqlite/threads/packed-items.ts',
      'central/store/sqlite/threads/writes.ts',
    ],
  },
  {
    by: 'test/docs.test.ts',
    why: 'Tables that documents are made from or checked against: errors, frames, what is signed.',
    files: [
      'agent/errors.ts',
      'central/admin/errors.ts',
      'central/auth/errors.ts',
      'central/cli/errors.ts',
      'central/listeners/errors.ts',
      'central/pki/errors.ts',
      'central/store/backup/errors.ts',
      'central/store/errors.ts',
      'shared/keystore/errors.ts',
      'shared/sqlite/errors.ts',
      'shared/truststore/errors.ts',
      'shared/wire/enrollment.ts',
      'shared/wire/messages.ts',
      'shared/wire/proof.ts',
      'shared/wire/refusals.ts',
    ],
  },
  {
    by: 'test/flow/agent-names.test.ts',
    why: 'Names at enrollment and at the start, with real processes.',
    files: ['central/agents/name-faults.ts'],
  },
  {
    by: 'test/flow/authentication.test.ts',
    why: 'Handshakes over real connections.',
    files: ['central/sessions/handshake.ts'],
  },
  {
    by: 'test/flow/doctor.test.ts',
    why: 'The doctor as a process, against real and false Centrals.',
    files: [
      'agent/doctor/command.ts',
      'agent/doctor/doctor.ts',
      'agent/doctor/hello.ts',
      'agent/doctor/network.ts',
      'agent/doctor/step.ts',
    ],
  },
  {
    by: 'test/flow/enrollment-offline.test.ts',
    why: 'Offline enrollment as a process.',
    files: ['agent/enrollment/certificate-file.ts', 'agent/enrollment/offline.ts'],
  },
  {
    by: 'test/flow/enrollment.test.ts',
    why: 'Enrollment as a process.',
    files: [
      'agent/enrollment/command.ts',
      'agent/enrollment/enroll.ts',
      'agent/trust/path.ts',
      'central/pki/trust/profile-truststores.ts',
    ],
  },
  {
    by: 'test/flow/local-accounts.test.ts',
    why: 'Other accounts on the host.',
    files: ['shared/platform/group.ts'],
  },
  {
    by: 'test/flow/recovery.test.ts',
    why: 'Recovery as a process.',
    files: ['agent/enrollment/recover.ts'],
  },
  {
    by: 'test/flow/revocation.test.ts',
    why: 'Revocation with real processes.',
    files: ['central/listeners/revocation-routes.ts'],
  },
  {
    by: 'test/flow/start.test.ts',
    why: 'Composition: whole programs as processes.',
    files: ['agent/daemon.ts', 'agent/main.ts', 'central/central-agent.ts', 'central/central.ts'],
  },
  {
    by: 'test/shared/files/files.test.ts',
    why: 'Reading and replacing files.',
    files: ['shared/files/bounded-file.ts', 'shared/files/path-links.ts'],
  },
  {
    by: 'test/shared/keystore/jks.test.ts',
    why: 'Files of keytool.',
    files: ['shared/keystore/java-data.ts'],
  },
  {
    by: 'test/shared/keystore/open.test.ts',
    why: 'Key stores by their content.',
    files: ['shared/keystore/material.ts'],
  },
  {
    by: 'test/shared/keystore/pkcs12.test.ts',
    why: 'Files of openssl.',
    files: ['shared/keystore/pkcs12-crypto.ts', 'shared/keystore/private-key.ts'],
  },
  {
    by: 'test/shared/settings/settings.test.ts',
    why: 'Settings of a process.',
    files: ['shared/settings/format.ts'],
  },
  {
    by: 'test/shared/sqlite/logs/logs.test.ts',
    why: 'Both logs of messages.',
    files: ['shared/sqlite/logs/fingerprint.ts', 'shared/sqlite/logs/inbox-log.ts', 'shared/sqlite/logs/outbox-log.ts'],
  },
  {
    by: 'test/shared/sqlite/worker/host.test.ts',
    why: 'Calls to a thread.',
    files: ['shared/sqlite/worker/protocol.ts', 'shared/sqlite/worker/side.ts'],
  },
  {
    by: 'test/shared/truststore/change.test.ts',
    why: 'The command truststore on files of other tools.',
    files: [
      'shared/truststore/certificates.ts',
      'shared/truststore/convert.ts',
      'shared/truststore/describe.ts',
      'shared/truststore/entries.ts',
      'shared/truststore/import.ts',
      'shared/truststore/options.ts',
      'shared/truststore/write.ts',
    ],
  },
  {
    by: 'test/shared/wire/heartbeat-paused.test.ts',
    why: 'Heartbeats while paused.',
    files: ['shared/wire/heartbeat.ts'],
  },
];
