// Creates the audit entry of an act, and lists what each action means. The store keeps and chains the entries.
import type { AuditEntry } from './store/audit-store.ts';

interface AuditedAction {
  /** What was done; of a refusal, what was refused. */
  readonly text: string;
  /** `refusal`: Central refused what somebody tried (central/auth/records/refusal-audit.ts). */
  readonly by?: 'central' | 'agent' | 'caller' | 'refusal';
}

/**
 * Every action of the audit log, and what was done. An administrator's act is called as its command: noun and verb. The
 * others are marked with who does them: Central on its own, or an agent.
 */
export const AUDIT_ACTIONS = {
  'addresses.refuse': {
    by: 'refusal',
    text: 'a request or an agent from an address that the parameters access.* exclude',
  },
  'agents.create': { text: 'enrolled an agent from a certificate request that came as a file' },
  'agents.delete': { text: 'deleted an agent; Central deletes its own agent when it enrolls it again' },
  'agents.disable': { text: 'disabled an agent' },
  'agents.enable': { text: 'enabled a disabled agent' },
  'agents.enroll': { by: 'agent', text: 'enrolled with a token' },
  'agents.recover': { by: 'agent', text: 'replaced its lost key with a recovery code' },
  'agents.recovery-code.create': { text: 'created a recovery code, which replaces an earlier one' },
  'agents.recovery-code.delete': { text: 'deleted the recovery code of an agent' },
  'agents.recovery-code.refuse': { by: 'refusal', text: 'a recovery code that was wrong, used or expired' },
  'agents.refuse': {
    by: 'refusal',
    text: 'an agent with an unknown, revoked or wrong key, a certificate that does not allow it, or an id or name of another agent',
  },
  'agents.replace': { text: 'replaced an agent by an enrollment request or by another agent' },
  'agents.revoke': { text: 'revoked an agent and its certificates' },
  'agents.set': { text: 'set the name, labels or notes of an agent' },
  'api-tokens.create': { text: 'created an API token; Central creates the first one' },
  'api-tokens.delete': { text: 'deleted an API token' },
  'api-tokens.forbid': {
    by: 'refusal',
    text: 'a request beyond the role or the scope of its API token, from an address where that role does not count, or of another site with the cookie of a browser (403)',
  },
  'api-tokens.refuse': {
    by: 'refusal',
    text: 'a request without an API token, or with one that was wrong, deleted or expired (401)',
  },
  'api-tokens.set': { text: 'set the name, the role, the scope or the expiry of an API token' },
  'ca.create': { by: 'central', text: 'created the authority at the first start' },
  'ca.delete-key': { text: 'deleted the key of a retired or prepared authority' },
  'ca.export': { text: 'exported an authority with its key' },
  'ca.import': { text: 'let another authority sign' },
  'ca.record-generations': { by: 'central', text: 'recorded the generations of an authority from an earlier version' },
  'ca.reissue': {
    by: 'central',
    text: 'reissued its root with the same key: the clock was wrong when it was made',
  },
  'ca.rotation.cross-certify': { by: 'central', text: 'certified the next authority by the current one' },
  'ca.rotation.prepare': { text: 'prepared the next authority' },
  'ca.rotation.publish': { text: 'sent the root of the next authority to the agents' },
  'ca.rotation.retire': { text: 'ended the trust in the previous authority' },
  'ca.rotation.rollback': { text: 'rolled back the latest step of a rotation' },
  'ca.rotation.switch': { text: 'let the next authority sign' },
  'certificates.issue': {
    by: 'agent',
    text: 'got its certificate when it enrolled, was accepted or recovered; an administrator, with `agents create`',
  },
  'certificates.issue-device': { by: 'agent', text: 'got a certificate for its port for devices' },
  'changes.confirm': { text: 'confirmed a pending change of parameters or of the server certificate' },
  'changes.rollback': {
    text: 'rolled back a pending change; Central does so when it is not confirmed in time, when it starts again, and when a node could not apply it',
  },
  'commands.withdraw': { text: 'withdrew a command that had not been sent' },
  'drains.cancel': { text: 'canceled a drain' },
  'drains.create': { text: 'let selected agents reconnect, spread over a time' },
  'enrollment-requests.accept': { text: 'accepted an enrollment request' },
  'enrollment-requests.reject': { text: 'rejected an enrollment request' },
  'enrollment-tokens.create': { text: 'created an enrollment token; Central creates those of its own agent' },
  'enrollment-tokens.delete': { text: 'deleted an enrollment token' },
  'enrollment-tokens.refuse': {
    by: 'refusal',
    text: 'an enrollment token that was wrong, used, expired, or sent unencrypted',
  },
  'enrollment-tokens.withdraw': {
    by: 'central',
    text: 'withdrew an enrollment token that was sent unencrypted, or that a cut first start did not show',
  },
  'key-material.encrypt': { by: 'central', text: 'encrypted private keys with the key encryption key' },
  login: { text: 'signed in with a browser, by an API token or as a person of the OpenID provider' },
  'login.refuse': {
    by: 'refusal',
    text: 'a sign-in with the OpenID provider: a person without a group that has a role, or an answer that does not fit',
  },
  logout: { text: 'signed out with a browser' },
  'maintenance.accept-clock': { text: "accepted the clock of Central's host after it was set by more than a day" },
  'maintenance.disable': { text: 'disabled maintenance mode: agents are admitted again' },
  'maintenance.enable': { text: 'enabled maintenance mode, or changed when agents try again: no agent is admitted' },
  'nodes.delete': { text: 'deleted a node that was stopped or dead' },
  'nodes.drain': { text: 'drained a node: its agents reconnect to others; with `cancel`, it admits agents again' },
  'parameters.reset': { text: 'restored the default of a parameter' },
  'parameters.set': { text: 'set parameters' },
  'profiles.delete': { text: 'deleted a profile with its releases' },
  'profiles.files.delete': { text: 'deleted a file of a profile' },
  'profiles.files.put': { text: 'put a file into a profile' },
  'profiles.import': { text: 'imported the files of a profile' },
  'profiles.prepare': { text: 'prepared a release of a profile; `forced` lists the refusals that --force overrode' },
  'profiles.set': { text: 'set or removed settings of a profile' },
  'profiles.synchronize': { text: 'started a rollout that brings a release to agents, which stay on theirs' },
  'profiles.truststore.delete': { text: 'deleted a certificate from the truststore of a profile' },
  'profiles.truststore.import': { text: 'imported certificates into the truststore of a profile' },
  'profiles.upgrade': {
    text: 'started a rollout of a release, or continued one that had synchronized it; `agents profile repair` starts one for one agent',
  },
  'release-tickets.create-key': { by: 'central', text: 'created the key of the tickets for downloads of releases' },
  'rollouts.cancel': { text: 'canceled a rollout; agents on trial finish it' },
  'rollouts.pause': { text: 'paused a rollout' },
  'rollouts.resume': { text: 'resumed a rollout that was paused, or that had halted' },
  'rollouts.retry': { text: 'repeated a rollout on the agents on which it had failed' },
  'rollouts.rollback': { text: 'rolled a rollout back: its agents return to their previous releases' },
  'server-certificate.activate': { text: 'activated the staged or the previous server certificate' },
  'server-certificate.discard': {
    text: 'deleted the staged server certificate; Central deletes a previous one that agents no longer trust',
  },
  'server-certificate.import': { text: 'imported a server certificate with its key, as the current or the staged one' },
  'server-certificate.install': { text: 'installed the answer to the request, as the current or the staged one' },
  'server-certificate.issue': { text: 'issued a server certificate, as the current or the staged one' },
  'server-certificate.renew': { by: 'central', text: 'issued the first server certificate, or renewed it' },
  'server-certificate.request.create': { text: 'created the request for a server certificate of another authority' },
  'server-certificate.request.delete': { text: 'deleted the request for a server certificate, with its key' },
  'services.expose': { text: 'exposed a service of an agent on a port of Central' },
  'services.refuse': {
    by: 'refusal',
    text: 'a call of a service from an address or with a certificate without a role',
  },
  'services.request': { by: 'caller', text: 'sent requests to a service of an agent that may change something' },
  'services.set': { text: 'set who may call an exposed service' },
  'services.unexpose': { text: 'ended the exposure of a service' },
  'signing-certificate.create': { by: 'central', text: 'issued the certificate of the signing key' },
  'signing-key.create': { by: 'central', text: 'created the signing key at the first start' },
  'software.delete': { text: 'deleted a release of the software' },
  'software.import': {
    text: 'imported a release of the software; `signers` has the keys of its signature, `forced` says that --force overrode its lack',
  },
  'software.synchronize': { text: 'started a rollout that brings software to agents, which stay on theirs' },
  'software.upgrade': { text: 'started a rollout of software, or continued one that had synchronized it' },
  'store.backup': { text: 'made a backup of the store' },
  'store.migrate': {
    by: 'central',
    text: 'moved the embedded store into PostgreSQL, or tried to: this entry is the last one of the embedded store',
  },
  'store.restore': { text: 'replaced the store with a backup' },
  'subscriptions.create': { text: 'created a subscription to events' },
  'subscriptions.create-key': { by: 'central', text: 'created the key of the secrets of webhooks' },
  'subscriptions.delete': { text: 'deleted a subscription to events' },
  'subscriptions.pause': { text: 'paused a subscription to events; Central does it when the receiver answers 410' },
  'subscriptions.replay': { text: 'let a subscription to events deliver from another position' },
  'subscriptions.resume': { text: 'resumed a subscription to events' },
  'subscriptions.rotate-secret': { text: 'gave a subscription to events another secret' },
  'subscriptions.set': { text: 'set the name, the target or the filter of a subscription to events' },
  'tasks.cancel': { text: 'canceled a task, or tried to when it had ended' },
  'tasks.run': { text: 'ran a task: a program that the configuration of an agent names' },
} as const satisfies Readonly<Record<string, AuditedAction>>;
export type AuditAction = keyof typeof AUDIT_ACTIONS;

/** Who acts, over which connection, and why. */
export interface Actor {
  /** Name of the API token, or `central` for what Central does on its own. */
  readonly who: string;
  /** Remote address; `local socket` for the administration's socket on Central's host, `local` for Central itself. */
  readonly from: string;
  /** The connection of the request; absent where there is no request. */
  readonly via?: { readonly listener: 'http' | 'https' | 'local'; readonly connectedAt: number };
  /** Why, in the administrator's words. */
  readonly comment?: string | undefined;
  readonly ticket?: string | undefined;
}

/** The actor of what Central does on its own: the first start, deadlines, rollbacks at a start. */
export const CENTRAL: Actor = { who: 'central', from: 'local' };

/** An audit entry; `detail` must hold no secret. */
export function auditEntry(
  actor: Actor,
  action: AuditAction,
  detail: Readonly<Record<string, unknown>>,
  at: number,
): AuditEntry {
  return {
    at,
    who: actor.who,
    from: actor.from,
    action,
    detail: JSON.stringify(detail),
    comment: actor.comment ?? null,
    ticket: actor.ticket ?? null,
  };
}

const DONE_BY = {
  administrator: 'an administrator',
  agent: 'an agent',
  caller: 'a caller of a service',
  central: 'Central',
  refusal: 'refused by Central',
} as const;

/** The whole of docs/AUDIT.md. */
export function auditMarkdown(): string {
  const rows = Object.entries<AuditedAction>(AUDIT_ACTIONS).map(
    ([action, { by, text }]) => `| \`${action}\` | ${DONE_BY[by ?? 'administrator']} | ${text} |`,
  );
  return `${[
    '# Audit log',
    '',
    'The store keeps an entry for each act that changes something or hands out a secret: when, who (the name of the API token, `central`',
    'for what Central does on its own), from which address, the action, its details as JSON, comment and ticket. Entries are never changed',
    'or deleted. Each one contains the hash of the one before, so that a changed or missing entry shows. Details hold no secrets.',
    '',
    'An act and its entry are one transaction: an act whose entry cannot be written does not happen. This includes the answers that hold a',
    'secret (`ca.export`, `store.backup`, and what creates tokens and recovery codes): the entry is written before the secret is handed out.',
    '',
    'Refusals are entries as well: wrong tokens and codes, requests beyond a role, agents with a wrong key. Their actor is the name of the',
    'API token if there is a valid one, else `unauthenticated`; the details have the error code, the count and when it began. Strangers must',
    'not fill the log: the same refusal of one address block (IPv4 address, IPv6 /64) or API token is one entry after 5 seconds, then one',
    'an hour with the count. Each action has at most 10 such entries an hour; all further sources share one. While the disk reserve',
    'of the store is reached, acts and their entries continue, and refusals are counted in memory until there is room again',
    '(`queuegate_audit_refusals_waiting`).',
    '',
    'The action of an administrator is called as the command of `queuegate`: `ca.rotation.switch` is `queuegate ca rotation switch`.',
    '',
    'This page is generated from `central/audit.ts`.',
    '',
    '| action | done by | what was done |',
    '| --- | --- | --- |',
    ...rows,
  ].join('\n')}\n`;
}
