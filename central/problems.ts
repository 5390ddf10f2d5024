// Describes a problem of Central for the status: what is wrong right now, since when, and what to do about it.
import { defineErrors, type CodedError, type ErrorTable } from '../shared/errors.ts';

/** Problems that no request meets; others have the code of the error that is their cause. */
export const PROBLEM_ERRORS = {
  listener_not_open: {
    text: '{listener} does not listen: {found}',
    hint: 'Stop the process that holds the port ("ss -ltnp" shows which; Central takes the port as soon as it is free), or choose another port.',
  },
  central_stopping: {
    status: 503,
    text: 'Central is stopping: it accepts no new connections, and its sessions end.',
    hint: 'No action needed if it was stopped on purpose; otherwise its log says why.',
  },
  listeners_not_applied: {
    text: 'The listeners are not what the parameters say: {found}',
    hint: 'Remove the cause. Central tries again every few seconds; until then the parameters do not apply to the listeners.',
  },
  agent_record_invalid: {
    text: 'The agent "{name}" with the id {id} breaks a rule: {found}.',
    hint: 'Reach it by its full id, and enroll it again under another id or name, or delete it.',
  },
  agent_records_invalid: {
    text: '{count} more agents have an id or a name that breaks the rules.',
    hint: 'Correct the agents that are listed; the others are listed then.',
  },
  central_certificate_expired: {
    text: 'The certificate {kind} {slot} ({subject}) expired at {notAfter}. Use: {usedFor}.',
    hint: 'List all with "queuegate certificates list --expires-within 1d". A server certificate: "queuegate server-certificate issue". An authority: "queuegate ca rotation show" names the next step.',
  },
  central_certificate_not_yet_valid: {
    text: 'The certificate {kind} {slot} ({subject}) is not valid before {notBefore}. Use: {usedFor}.',
    hint: 'Correct the clock of this host if it is behind. If it is right, replace the certificate. A server certificate: "queuegate server-certificate issue". An imported authority: "queuegate ca import" with one that is valid now.',
  },
  authority_reissued: {
    text: "Central's root was reissued with its key at {reissuedAt}, because it was not valid at that time. {count} agents do not have the new one, as far as Central knows: {agents}.",
    hint: 'Agents that connect get it by themselves. For the others run "queuegate agents recovery-code create NAME", or import the file of "queuegate ca trust-bundle" into their truststores.',
  },
  agent_certificates_expired: {
    text: 'The certificates of {count} agents have expired: {agents}.',
    hint: 'Start agents that were switched off: within the grace period (agents.certificate.graceDays) they renew by themselves. For the others run "queuegate agents recovery-code create NAME".',
  },
  agent_quotas_reached: {
    text: '{count} agents have reached their quota of events for today: {agents}.',
    hint: 'The agents keep their events and send them after {until}. Find out what sends so many, or raise the parameter agents.eventsPerDay.',
  },
  agent_inboxes_full: {
    text: 'The inbox of {count} agents is full, so that they accept no commands: {agents}.',
    hint: 'Start the program of that consumer on the host of the agent: it has to acknowledge its commands. "queuegate agents show NAME" lists the consumers of an agent, "queue-agent status" on its host names the cause.',
  },
  agents_unencrypted: {
    text: 'Unencrypted WebSocket (ws) is used from other hosts by {count}: {agents}. Others on the networks between can read and change what is sent.',
    hint: 'Set central.websocket.secure=true for each of them ("queuegate agents list --transport ws" lists them; a rollout of their profile sets it for all), then turn unencrypted WebSocket off: "queuegate parameters set websocket.enabled=false".',
  },
  clock_stepped: {
    text: 'The clock of this host shows {foundAt}, but {expectedAt} was expected: nothing is pruned and nothing expires.',
    hint: 'Correct the clock; Central then continues automatically. If it is right, run "queuegate maintenance accept-clock".',
  },
  node_clock_off: {
    text: 'The clock of the node {name} is {seconds} seconds {direction} that of PostgreSQL.',
    hint: 'Correct the clock of that host, for instance with chrony. What depends on time, such as certificates and retention, is off by as much there.',
  },
  node_dead: {
    text: 'The node {name} is dead: it was last heard of at {seenAt}, and its sessions were ended.',
    hint: 'Its agents have connected to other nodes. Start it again, or run "queuegate nodes delete {name}" if it does not come back.',
  },
  node_parameters_late: {
    text: 'The node {name} applies the parameters of version {applied}; the newest version is {newest}.',
    hint: 'Look at its log. Restart it if it does not apply them within a minute.',
  },
  node_drained: {
    text: 'The node {name} is drained: it admits no agents.',
    hint: 'When the work is done, admit agents again (POST /nodes/{name}/drain).',
  },
  maintenance_enabled: {
    text: 'Maintenance mode is enabled: no agent is admitted.',
    hint: 'When the work is done, run "queuegate maintenance disable"; the agents connect by themselves.',
  },
  log_lines_lost: {
    text: '{lines} lines of the log of Central were lost; the last one because of {error}.',
    hint: 'Free space on the disk of the log, or restart what reads it. If its terminal was closed, start Central as a service. The problem ends an hour after the last lost line.',
  },
  audit_entry_altered: {
    text: 'The audit log was changed: the entry {number} is not the one that was written.',
    hint: 'Find out who wrote to the store beside Central. Compare the entry with a backup or an export ("queuegate audit show {number}").',
  },
  audit_entries_missing: {
    text: 'The audit log was changed: the entries {first} to {through} are missing.',
    hint: 'Find out who wrote to the store beside Central. A backup or an export still has the entries.',
  },
  audit_head_missing: {
    text: 'The audit log was changed: the entry with the hash {hash} is missing; the last entry that was looked at is {entries}.',
    hint: 'If somebody replaced the store with an older copy, remove the file audit-head in the data folder and restart Central. Otherwise the end of the log was cut off or the log was rewritten: find out who did it, and compare it with a backup or an export.',
  },
  local_socket_failed: {
    text: 'The socket of the administration could not be opened: {found}',
    hint: 'Use HTTPS until the cause is removed; then restart Central.',
  },
} as const satisfies ErrorTable;

export const problemFault = defineErrors(PROBLEM_ERRORS);

export const PROBLEM_SUBJECTS = ['agent', 'certificate', 'listener', 'subscription'] as const;

/** The one thing that a problem is about. */
interface ProblemSubject {
  readonly kind: (typeof PROBLEM_SUBJECTS)[number];
  /** As its own route takes it; of a listener its name in the status, of a certificate the thumbprint. */
  readonly id: string;
  readonly name: string;
}

export interface Problem {
  /** In docs/ERRORS.md. */
  readonly code: string;
  readonly detail: string;
  readonly hint: string;
  readonly startedAt: number;
  /** Absent: it is about Central as a whole, or about several things. */
  readonly subject?: ProblemSubject | undefined;
}

export function problemOf({ code, message, hint }: CodedError, startedAt: number, subject?: ProblemSubject): Problem {
  return { code, detail: message, hint, startedAt, subject };
}

/** For a line of text. */
export function problemText({ code, detail, hint }: Problem): string {
  return `${detail} ${hint} (${code})`;
}
