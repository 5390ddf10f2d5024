// The errors of Central's store, for any engine. Failures of the engine itself are in shared/sqlite/errors.ts.
import { defineErrors, type ErrorDefinition } from '../../shared/errors.ts';

export const STORE_ERRORS = {
  store_away: {
    status: 503,
    retryable: true,
    text: 'PostgreSQL cannot be reached since {since}: {found}.',
    hint: 'Retry in a few seconds. Sessions stay open, and agents keep their messages. If it lasts, look at PostgreSQL, the pooler and the network between; Central goes on by itself as soon as it answers.',
  },
  agent_unknown: {
    status: 404,
    text: 'The agent {id} is unknown.',
    hint: 'Use its id, its name, or at least the first 8 characters of its id (see "queuegate agents list"). The agent may have been deleted.',
  },
  agent_id_taken: {
    status: 409,
    text: 'The id {id} belongs to an agent with another key, as its id or its name.',
    hint: 'If this machine replaces that agent, run "queuegate agents recovery-code create {id}" on Central and the printed command line on this machine: it takes over id, name and messages. Otherwise enroll with another id.',
  },
  agent_name_taken: {
    status: 409,
    text: 'The name {name} belongs to the agent {owner}, as its name or its id.',
    hint: 'If this machine replaces that agent, run "queuegate agents recovery-code create {name}" on Central and the printed command line on this machine: it takes over id, name and messages. Otherwise choose another name (agent.name in agent.local.conf); ids and names are compared case-insensitively.',
  },
  agent_name_reserved: {
    status: 409,
    text: 'The name or id {name} is reserved: {found}.',
    hint: 'Choose another name (agent.name, --agent-name) or id (agent.id). "queuegate enrollment-tokens list" shows the names that enrollment tokens are bound to.',
  },
  agent_id_invalid: {
    status: 422,
    text: 'The agent id {found} is invalid; allowed: 1 to 255 printable ASCII characters without blanks, except "." and "..".',
    hint: 'Choose another id (agent.id), or remove the setting: the default is the thumbprint of the key.',
  },
  agent_ambiguous: {
    status: 409,
    text: '{found} is the beginning of several agent ids.',
    hint: 'Use more characters of the id, the whole id, or the name of the agent.',
  },
  agent_key_known: {
    status: 409,
    text: 'This key is already registered for the agent {owner}.',
    hint: 'The machine was cloned with its key, or its id was changed. Delete the key on the new machine and enroll it again, or delete the agent {owner}.',
  },
  agent_key_revoked: {
    status: 409,
    text: 'This key was revoked with the agent {id} ({reason}).',
    hint: 'Delete the key on the machine and enroll it again with a new key.',
  },
  agent_revoked: {
    status: 409,
    text: 'The agent {id} is revoked; its key is refused.',
    hint: 'Give it a new key ("queuegate agents recovery-code create {id}"), or delete the agent ("queuegate agents delete {id}") and enroll the machine again.',
  },
  agent_disabled: {
    status: 409,
    text: 'The agent {id} is disabled.',
    hint: 'Enable it: "queuegate agents enable {id}".',
  },
  task_unknown: {
    status: 404,
    text: 'The task {id} is unknown.',
    hint: 'See "queuegate tasks list". Tasks that have ended are deleted after a time (tasks.retentionDays), or with their agent.',
  },
  tasks_full: {
    status: 503,
    text: '{most} tasks of the agent {agent} have not ended; more are not allowed.',
    hint: 'Wait until some have ended ("queuegate tasks list --agent {agent}"), cancel those that are not needed, or raise tasks.maxPerAgent.',
  },
  task_queue_full: {
    status: 503,
    text: '{most} tasks wait for agents {where}; more are not allowed.',
    hint: 'Wait until some were taken ("queuegate tasks list --state queued"), cancel those that are not needed, let more agents serve the queue, or raise {parameter}.',
  },
  queue_unserved: {
    status: 422,
    text: 'No agent {where} serves the queue {queue} and has the handler {handler}.',
    hint: 'Set agent.queues and task.{handler}.command in the configuration of an agent, and let it read that again: "queuegate agents handlers AGENT" shows what it has reported.',
  },
  rollout_unknown: {
    status: 404,
    text: 'The rollout {id} is unknown.',
    hint: 'See "queuegate rollouts list". Central keeps a limited number of rollouts; the oldest ones that have ended make room.',
  },
  rollout_conflict: {
    status: 409,
    text: 'The agent {agent} takes part in the rollout {rollout} already.',
    hint: 'Wait until {rollout} has ended on this agent ("queuegate rollouts show {rollout}"), cancel it, or leave the agent out.',
  },
  rollouts_full: {
    status: 409,
    text: '{most} rollouts are in progress; more are not allowed.',
    hint: 'Cancel rollouts that are not needed any more.',
  },
  agent_labels_full: {
    status: 422,
    text: 'The agent {id} would have {found} labels; allowed: {most}.',
    hint: 'Delete labels that are not used any more: "queuegate agents set {id} labels.KEY=".',
  },
  token_used: {
    status: 403,
    text: 'The enrollment token {id} is used up ({uses} of {uses} uses).',
    hint: 'Create a new one: "queuegate enrollment-tokens create". If you did not use this one, check the agents that were enrolled with it.',
  },
  token_expired: {
    status: 403,
    text: 'The enrollment token {id} expired at {expiry}.',
    hint: 'Create a new one: "queuegate enrollment-tokens create".',
  },
  token_unknown: {
    status: 404,
    text: 'The token {id} is unknown.',
    hint: 'See "queuegate api-tokens list" or "queuegate enrollment-tokens list". The token may have been deleted; create a new one if you need it.',
  },
  recovery_code_missing: {
    status: 404,
    text: 'The agent {name} has no recovery code.',
    hint: 'Create one: queuegate agents recovery-code create {name}',
  },
  enrollment_request_unknown: {
    status: 404,
    text: 'No pending enrollment request has a key that begins with {found}.',
    hint: 'See "queuegate enrollment-requests list". A request expires after a day without repetition: run "queue-agent enroll" on that machine again.',
  },
  enrollments_full: {
    status: 503,
    text: '{most} enrollment requests are pending, which is the limit.',
    hint: 'Accept or reject pending requests ("queuegate enrollment-requests list"). A request expires after a day without repetition.',
  },
  enrollments_full_of_address: {
    status: 503,
    text: '{most} enrollment requests from {address} are pending, which is the limit of one address.',
    hint: 'Accept or reject pending requests ("queuegate enrollment-requests list"), or enroll this machine with a token.',
  },
  recovery_code_used: {
    status: 403,
    text: 'This recovery code was used, or replaced by a newer one.',
    hint: 'Create a new one on Central: "queuegate agents recovery-code create AGENT".',
  },
  recovery_code_expired: {
    status: 403,
    text: 'This recovery code expired at {expiry}.',
    hint: 'Create a new one on Central: "queuegate agents recovery-code create AGENT".',
  },
  api_tokens_full: {
    status: 409,
    text: '{most} API tokens exist, which is the limit.',
    hint: 'Delete unused tokens ("queuegate api-tokens list", "queuegate api-tokens delete").',
  },
  enrollment_tokens_full: {
    status: 409,
    text: '{most} enrollment tokens exist, which is the limit.',
    hint: 'Create one token for several machines (--max-uses), or delete unused ones ("queuegate enrollment-tokens list", "queuegate enrollment-tokens delete").',
  },
  agent_replaces_itself: {
    status: 422,
    text: 'The agent {id} cannot be replaced by itself.',
    hint: 'Name the enrollment request or the agent of the new machine.',
  },
  command_id_unknown: {
    status: 404,
    text: 'The command {id} is unknown.',
    hint: 'See "queuegate commands list". What became of a command is known for as many days as the parameter commands.stateRetentionDays says.',
  },
  command_delivered: {
    status: 409,
    text: 'The command {id} cannot be withdrawn: its state is {state}, and the agent {agent} may have it.',
    hint: 'Only a command that was sent to an agent without a session, and still waits, can be withdrawn. Send another one that undoes it.',
  },
  subscription_unknown: {
    status: 404,
    text: 'The subscription {id} is unknown.',
    hint: 'Use its id or its name. It may have been deleted.',
  },
  subscription_name_taken: {
    status: 409,
    text: 'The name {name} belongs to the subscription {id}.',
    hint: 'Choose another name; names are compared case-insensitively.',
  },
  subscriptions_full: {
    status: 409,
    text: '{most} subscriptions exist, which is the limit.',
    hint: 'Delete subscriptions that are not needed any more.',
  },
  service_exposure_unknown: {
    status: 404,
    text: 'The service exposure {id} is unknown.',
    hint: '"queuegate services list" shows all with their ids. It may have been deleted.',
  },
  service_exposure_port_taken: {
    status: 409,
    text: 'The port {port} belongs to the service exposure {id}.',
    hint: 'Choose another port, or delete that exposure.',
  },
  service_exposures_full: {
    status: 409,
    text: '{most} service exposures exist, which is the limit.',
    hint: 'Delete exposures that are not needed any more.',
  },
  first_token_elsewhere: {
    status: 409,
    text: 'The store has API tokens already: another node made the first one at the same time.',
    hint: 'No action needed: it is in the file administrator-token in the data folder of that node.',
  },
  last_administrator: {
    status: 409,
    text: 'The token {id} is the last one with the role administrator.',
    hint: 'Create another administrator token first; without one, no settings could be changed any more.',
  },
  version_conflict: {
    status: 412,
    text: 'There was another change of {subject} in the meantime (version {found}, expected {expected}).',
    hint: 'Read the present state, check that your change still applies, and send it with the new ETag.',
  },
  key_material_conflict: {
    status: 409,
    text: 'The keys and certificates under "{subject}" were changed in the meantime (version {found}, expected {expected}); nothing was written.',
    hint: 'Another node changed them at the same time. See what it did ("queuegate audit list"), and send the change again if it still applies.',
  },
  events_per_day: {
    status: 503,
    retryable: true,
    text: 'The agent {id} has sent {most} events today (UTC), which is the limit of one agent.',
    hint: 'No action needed if the load is temporary: the agent keeps its events and sends them tomorrow. Otherwise check what produces them, or raise agents.eventsPerDay.',
  },
  enrollments_per_day: {
    status: 503,
    retryable: true,
    text: '{most} certificates were issued to the agent {id} within a day, which is the limit of enrollment.',
    hint: 'Stop what enrolls this machine repeatedly. It can enroll again one day after the first of these certificates.',
  },
  store_low: {
    status: 503,
    text: 'The disk of the store has {available} bytes left. At the reserve of {reserve} bytes Central stops accepting messages.',
    hint: 'Free disk space on the host of Central, or enlarge the file system (docs/OPERATIONS.md, "Disk space").',
  },
  store_reserve: {
    status: 503,
    retryable: true,
    text: 'The disk of the store has {available} bytes left; below {reserve} bytes Central accepts no messages and enrollments.',
    hint: 'Free disk space on the host of Central (docs/OPERATIONS.md, "Disk space"). Retry later: nothing was stored, and Central continues automatically.',
  },
  deduplication_indexing: {
    status: 503,
    retryable: true,
    text: 'The log of the agent has restarted, and Central still indexes the messages that it had sent before.',
    hint: 'No action needed: the agent keeps its events, and Central continues automatically when the index is complete.',
  },
  profile_unknown: {
    status: 404,
    text: 'The profile {name} is unknown.',
    hint: 'See "queuegate profiles list". To create it, import a directory: "queuegate profiles import DIRECTORY --name {name}".',
  },
  profile_exists: {
    status: 409,
    text: 'The profile {name} exists.',
    hint: 'Import it with --replace to replace its files, or choose another name (--name).',
  },
  profile_in_rollout: {
    status: 409,
    text: 'The profile {name} has a release in the rollout {rollout}, which has not ended.',
    hint: 'Wait for its end ("queuegate rollouts show {rollout} --watch"), or cancel it: queuegate rollouts cancel {rollout}',
  },
  profiles_full: {
    status: 409,
    text: '{most} profiles exist, which is the limit.',
    hint: 'Delete profiles that you do not use ("queuegate profiles list", "queuegate profiles delete").',
  },
  release_exists: {
    status: 409,
    text: 'The release {release} was prepared before, from the same files.',
    hint: 'Use that release: its digest identifies exactly these files.',
  },
  release_unknown: {
    status: 404,
    text: 'There is no release {release}.',
    hint: 'See "queuegate software list". Another administrator may have deleted it.',
  },
  release_in_use: {
    status: 409,
    text: 'The release {release} is in use: {found}.',
    hint: 'Wait for the end of the rollout, or roll out another release first.',
  },
  blob_unknown: {
    status: 409,
    text: 'The content with the SHA-256 {sha256} is not in the store.',
    hint: 'Send the files again: content that nothing uses is deleted after a day.',
  },
  stale_epoch: {
    close: 4507,
    retryable: true,
    text: 'A newer session of the agent {id} is open, or the agent was deleted; this session can no longer write.',
    hint: 'No action needed: the agent reconnects automatically.',
  },
} as const satisfies Record<string, ErrorDefinition>;

export const storeFault = defineErrors(STORE_ERRORS);
