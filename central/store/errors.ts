// Owns what Central's store may refuse, whatever engine it runs on; what is wrong with the engine itself stands with the engine
// (shared/sqlite/errors.ts).
import { defineErrors, type ErrorDefinition } from '../../shared/errors.ts';

export const STORE_ERRORS = {
  agent_unknown: {
    status: 404,
    text: 'The agent {id} is unknown.',
    hint: 'Name an agent by its id, its name, or at least the first 8 characters of its id ("queuegate agents list"); it may have been removed.',
  },
  agent_id_taken: {
    status: 409,
    text: 'The id {id} belongs to an agent with another key, as its id or its name.',
    hint: 'If this machine takes its place, "queuegate agents recovery-code create {id}" on Central prints the line that gives it id, name and messages; else enroll it under an id of its own.',
  },
  agent_name_taken: {
    status: 409,
    text: 'The name {name} belongs to the agent {owner}, as its name or its id.',
    hint: 'Give one of the two another name (agent.name in agent.local.conf). Ids and names are compared without regard to upper and lower case.',
  },
  agent_name_reserved: {
    status: 409,
    text: 'No agent can have the name or id {name}: {found}.',
    hint: 'Choose another name (agent.name, --agent-name) or id (agent.id). "queuegate enrollment-tokens list" shows the names that enrollment tokens are bound to.',
  },
  agent_id_invalid: {
    status: 422,
    text: 'The id of the agent is {found}; allowed are 1 to 255 printable ASCII characters without blanks, other than "." and "..".',
    hint: 'Choose another id (agent.id), or leave it out: then it is the thumbprint of the key.',
  },
  agent_ambiguous: {
    status: 409,
    text: '{found} is the beginning of the ids of several agents.',
    hint: 'Give more of the id, the whole id, or the name of the agent.',
  },
  agent_key_known: {
    status: 409,
    text: 'This key is already registered as the agent {owner}.',
    hint: 'A machine was cloned with its key, or its id was changed. Delete the key on the new machine and enroll it again, or remove the agent {owner}.',
  },
  agent_key_revoked: {
    status: 409,
    text: 'This key was revoked with the agent {id} ({reason}) and is refused.',
    hint: 'Delete the key on that machine and enroll it again with a new one.',
  },
  agent_revoked: {
    status: 409,
    text: 'The agent {id} was revoked, and its key is refused.',
    hint: 'Let it come back with a new key ("queuegate agents recovery-code create {id}"), or remove it and enroll the machine anew ("queuegate agents delete {id}").',
  },
  token_used: {
    status: 403,
    text: 'The enrollment token {id} has been used as often as it may ({uses} of {uses}).',
    hint: 'Make a new one: "queuegate enrollment-tokens create". If nobody of yours used this one, look at the agents that were enrolled with it.',
  },
  token_expired: {
    status: 403,
    text: 'The enrollment token {id} expired at {expiry}.',
    hint: 'Make a new one: "queuegate enrollment-tokens create".',
  },
  token_unknown: {
    status: 404,
    text: 'There is no token {id}.',
    hint: 'See "queuegate api-tokens list" or "queuegate enrollment-tokens list"; it may have been deleted. Make a new one if it is needed.',
  },
  enrollment_request_unknown: {
    status: 404,
    text: 'No machine with a key that begins with {found} waits to be accepted.',
    hint: 'See "queuegate enrollment-requests list". One that has not asked for a day is forgotten: let "queue-agent enroll" ask again on that machine.',
  },
  enrollments_full: {
    status: 503,
    text: '{most} enrollments are pending already, which is the limit.',
    hint: 'Accept or reject those that wait ("queuegate enrollment-requests list"); one that has not asked for a day is forgotten.',
  },
  enrollments_full_of_address: {
    status: 503,
    text: '{most} enrollments from {address} are pending already, which is the limit of one address.',
    hint: 'Accept or reject those that wait ("queuegate enrollment-requests list"), or enroll this machine with a token.',
  },
  recovery_code_used: {
    status: 403,
    text: 'This recovery code has been used, or a newer one was made.',
    hint: 'Make a new one on Central: "queuegate agents recovery-code create AGENT".',
  },
  recovery_code_expired: {
    status: 403,
    text: 'This recovery code expired at {expiry}.',
    hint: 'Make a new one on Central: "queuegate agents recovery-code create AGENT".',
  },
  api_tokens_full: {
    status: 409,
    text: 'Central keeps {most} API tokens already; allowed: {most}.',
    hint: 'Delete tokens that are not used any more ("queuegate api-tokens list", "queuegate api-tokens delete").',
  },
  enrollment_tokens_full: {
    status: 409,
    text: 'Central keeps {most} enrollment tokens already; allowed: {most}.',
    hint: 'Make one token for several machines (--max-uses), or delete those that are not needed ("queuegate enrollment-tokens list", "queuegate enrollment-tokens delete").',
  },
  last_administrator: {
    status: 409,
    text: 'The token {id} is the last one of an administrator.',
    hint: "Make another administrator's token first, else nobody could change anything any more.",
  },
  version_conflict: {
    status: 412,
    text: 'The parameters were changed in the meantime (version {found}, expected {expected}).',
    hint: 'Read them again, look whether your change still fits, and send it with the new version.',
  },
  events_per_day: {
    status: 503,
    retryable: true,
    text: 'The agent {id} has sent {most} events today; that is as many as Central takes of one agent within a day (UTC).',
    hint: 'No action needed if the agent is only early: it keeps its events and sends them tomorrow. Otherwise look at what produces them, or raise agents.eventsPerDay.',
  },
  enrollments_per_day: {
    status: 503,
    retryable: true,
    text: 'The agent {id} was given {most} certificates within a day, which is the limit of enrollment.',
    hint: 'Stop what enrolls this machine again and again. It may enroll again a day after the first of them.',
  },
  store_low: {
    status: 503,
    text: 'The disk of the store has {available} bytes left for it. The reserve is {reserve} bytes; there Central stops taking new messages.',
    hint: 'Free disk space on the host of Central, or enlarge the file system (docs/OPERATIONS.md, "Disk space").',
  },
  store_reserve: {
    status: 503,
    retryable: true,
    text: 'The disk of the store has {available} bytes left for it; below {reserve} bytes Central takes no new messages and enrollments.',
    hint: 'Free disk space on the host of Central (docs/OPERATIONS.md, "Disk space"). Send it again later: nothing of it was taken, and Central continues automatically.',
  },
  stale_epoch: {
    close: 4507,
    retryable: true,
    text: 'A newer session of the agent {id} has begun, or the agent was removed; this session may not write any more.',
    hint: 'No action needed: the agent reconnects automatically.',
  },
} as const satisfies Record<string, ErrorDefinition>;

export const storeFault = defineErrors(STORE_ERRORS);
