// The operations on profiles, their releases, software and rollouts.
import { SOFTWARE_PARTS } from '../../../../shared/releases/software.ts';
import { ROLLOUT_AGENT_STATES, ROLLOUT_STAGES, ROLLOUT_STATES } from '../../../store/rollouts/rollout-store.ts';
import {
  AGENT_REFERENCE,
  array,
  binary,
  count,
  countOrNull,
  json,
  listOf,
  named,
  NO_CONTENT,
  object,
  orNull,
  reportOf,
  sha256,
  sha256OrNull,
  share,
  text,
  textOrNull,
  time,
  timeOrNull,
  UNCHANGED,
  words,
  yes,
  type Operations,
  type Schema,
} from '../schema.ts';

const PROFILE: Readonly<Record<string, Schema>> = {
  name: text,
  etag: text,
  fileCount: count,
  bytes: count,
  createdAt: time,
  createdBy: text,
  changedAt: time,
  changedBy: text,
};
const AGENT_COUNTS: Readonly<Record<string, Schema>> = {
  desiredAgentCount: { ...count, description: 'agents that a rollout has brought to a release of it' },
  reportedAgentCount: { ...count, description: 'agents that say they run one' },
};
const RELEASE_AGENTS = array(
  object({ release: text, digest: sha256, desiredCount: count, reportedCount: count }),
  'by release, the newest first',
);
const CERTIFICATE = named(
  'TrustedCertificate',
  object({ alias: textOrNull, subject: text, thumbprint: sha256, notAfter: time }),
);
const FAULT = object({ code: text, detail: text, hint: text });
const CONTENT: Readonly<Record<string, Schema>> = {
  settingCount: count,
  unknownSettings: array(object({ name: text, resembles: textOrNull })),
  truststore: orNull(
    object({ path: textOrNull, format: text, hasDefaultPassword: yes, certificates: array(CERTIFICATE) }),
  ),
  problems: array(FAULT),
};
const CHANGED = array(object({ file: text, text }), 'what differs, in words');
const OUTCOME: Readonly<Record<string, Schema>> = {
  dryRun: yes,
  profile: orNull(object(PROFILE)),
  ...CONTENT,
  changed: CHANGED,
};
const FILE = named('File', object({ path: text, bytes: count, sha256, executable: yes }));
const RELEASE_FACTS: Readonly<Record<string, Schema>> = {
  kind: words(['profile', 'software']),
  fileCount: count,
  bytes: count,
  preparedAt: time,
  preparedBy: text,
  comment: textOrNull,
  ticket: textOrNull,
};
const RELEASE: Readonly<Record<string, Schema>> = { release: text, digest: sha256, profile: text, ...RELEASE_FACTS };
const SOFTWARE: Readonly<Record<string, Schema>> = {
  release: text,
  digest: sha256,
  ...RELEASE_FACTS,
  name: text,
  part: words(['program', 'runtime']),
  version: textOrNull,
  target: textOrNull,
  signers: array(text),
};
const CAUSE = orNull(object({ code: text, detail: text, hint: text }));
const ROLLOUT = named(
  'Rollout',
  object({
    id: { ...textOrNull, description: 'null: of a dry run' },
    kind: words(['profile', 'software']),
    release: sha256,
    name: text,
    stage: words(ROLLOUT_STAGES),
    state: words(ROLLOUT_STATES),
    stateChangedAt: time,
    stateReason: CAUSE,
    agents: array(text),
    scope: textOrNull,
    waves: array(
      object({
        count: countOrNull,
        share: { type: ['number', 'null'] },
        agentCount: countOrNull,
        state: words(['waiting', 'running', 'soaking', 'completed']),
      }),
    ),
    soakUntilAt: timeOrNull,
    successShare: share,
    errorShare: share,
    soakSeconds: count,
    trialSeconds: count,
    bytesPerSecond: count,
    counts: object({
      total: count,
      eligible: count,
      waiting: count,
      offered: count,
      synchronizing: count,
      synchronized: count,
      trying: count,
      succeeded: count,
      rolledBack: count,
      failed: count,
      skipped: count,
      canceled: count,
      timedOut: count,
    }),
    comment: textOrNull,
    ticket: textOrNull,
    createdAt: time,
    createdBy: text,
    endedAt: timeOrNull,
  }),
);
const ROLLOUT_AGENT = named(
  'RolloutAgent',
  object({
    agent: AGENT_REFERENCE,
    state: words(ROLLOUT_AGENT_STATES),
    stateChangedAt: time,
    stateReason: CAUSE,
    stateDeadlineAt: timeOrNull,
    wave: countOrNull,
    eligible: yes,
    inconclusive: yes,
    offlineAt: timeOrNull,
    generation: countOrNull,
    release: sha256OrNull,
    previousRelease: sha256OrNull,
    receivedBytes: count,
    totalBytes: countOrNull,
  }),
);
const NAMED_RELEASE = orNull(object({ digest: sha256, name: textOrNull }));
const AGENT_PART: Readonly<Record<string, Schema>> = {
  desired: NAMED_RELEASE,
  reported: NAMED_RELEASE,
  reportedAt: timeOrNull,
  drift: orNull(
    object(
      {
        release: sha256,
        changedFiles: array(text, 'the first that differ from the release'),
        overriddenKeys: array(text, "the first keys of a profile's agent.conf that a value of the host overrides"),
        reason: CAUSE,
        reportedAt: time,
      },
      'What the agent measured last in this session.',
    ),
  ),
};
const rollout = json('The rollout.', ROLLOUT);
const OF_PROFILE = ['profile_name_invalid', 'profile_unknown'] as const;
const OF_DRAFT = [
  ...OF_PROFILE,
  'profile_conf_missing',
  'profile_file_unknown',
  'profile_truststore_outside',
  'release_path_invalid',
  'release_too_large',
  'version_conflict',
] as const;
const OF_ACT = [
  'rollout_conflict',
  'rollout_lead_moves',
  'rollout_leader_silent',
  'rollout_nothing_to_do',
  'rollout_stage_conflict',
  'rollout_state_conflict',
  'rollout_unknown',
  'rollouts_full',
] as const;
const OF_ROLLOUT = [
  'agent_ambiguous',
  'agent_unknown',
  'profile_release_unknown',
  'release_unknown',
  'rollout_conflict',
  'rollout_lead_moves',
  'rollout_leader_silent',
  'rollout_nothing_to_do',
  'rollout_plan_invalid',
  'rollout_release_unknown',
  'rollout_stage_conflict',
  'rollout_state_conflict',
  'rollout_unknown',
  'rollouts_full',
  'selector_empty',
  'selector_invalid',
  'software_release_unknown',
] as const;
const act = (id: string, summary: string) => ({
  id,
  summary,
  answers: { 200: json('The rollout, or what a dry run found.', { anyOf: [ROLLOUT, reportOf(ROLLOUT)] }) },
  errors: OF_ACT,
});

export const PROFILE_OPERATIONS: Operations = {
  'GET /profiles': {
    id: 'listProfiles',
    summary: 'Lists the profiles.',
    answers: { 200: json('A page.', listOf(object({ ...PROFILE, ...AGENT_COUNTS }))) },
  },
  'POST /profiles': {
    id: 'importProfile',
    summary: 'Imports the files of a profile, as a tar archive.',
    body: { 'application/x-tar': binary },
    answers: {
      201: json('The profile.', object({ ...OUTCOME, leftOut: array(text) })),
      200: json('What a dry run found.', object({ ...OUTCOME, leftOut: array(text) })),
    },
    errors: [...OF_DRAFT, 'archive_invalid', 'profile_exists', 'profile_file_too_large', 'profiles_full'],
  },
  'GET /profiles/{profile}': {
    id: 'getProfile',
    summary: 'One profile: what Central reads of its files, and the latest release.',
    answers: {
      200: json(
        'The profile.',
        object({ ...PROFILE, ...CONTENT, latestRelease: textOrNull, ...AGENT_COUNTS, agents: RELEASE_AGENTS }),
      ),
    },
    errors: OF_PROFILE,
  },
  'DELETE /profiles/{profile}': {
    id: 'deleteProfile',
    summary: 'Deletes a profile with its releases.',
    answers: NO_CONTENT,
    errors: [...OF_PROFILE, 'profile_in_rollout'],
  },
  'GET /profiles/{profile}/settings': {
    id: 'listProfileSettings',
    summary: 'The keys of agent.conf; values of secret ones are null.',
    answers: {
      200: json('A page.', listOf(object({ name: text, value: textOrNull, isKnown: yes, isSecret: yes, line: count }))),
    },
    errors: OF_PROFILE,
  },
  'PATCH /profiles/{profile}/settings': {
    id: 'changeProfileSettings',
    summary: 'Changes keys of agent.conf; comments and order are kept, null deletes a key.',
    answers: { 200: json('What changed.', object(OUTCOME)) },
    errors: [...OF_DRAFT, 'if_match_required', 'profile_setting_invalid', 'profile_setting_unknown'],
  },
  'GET /profiles/{profile}/truststore': {
    id: 'listProfileTruststore',
    summary: 'The certificates of the truststore of a profile.',
    answers: { 200: json('A page.', listOf(CERTIFICATE)) },
    errors: OF_PROFILE,
  },
  'POST /profiles/{profile}/truststore': {
    id: 'addToProfileTruststore',
    summary: "Adds Central's roots, or the certificates of a file.",
    answers: { 201: json('What changed.', object(OUTCOME)) },
    errors: [...OF_DRAFT, 'certificate_unreadable'],
    example: { body: { source: 'central' } },
  },
  'DELETE /profiles/{profile}/truststore/{alias}': {
    id: 'deleteFromProfileTruststore',
    summary: 'Deletes the certificate with this alias.',
    answers: NO_CONTENT,
    errors: OF_DRAFT,
  },
  'GET /profiles/{profile}/files': {
    id: 'listProfileFiles',
    summary: 'The files of a profile.',
    answers: { 200: json('A page.', listOf(FILE)) },
    errors: OF_PROFILE,
  },
  'GET /profiles/{profile}/files/{path}': {
    id: 'getProfileFile',
    summary: 'One file.',
    answers: { 200: { description: 'Its bytes.', types: { 'application/octet-stream': binary } } },
    errors: [...OF_PROFILE, 'profile_file_unknown', 'release_path_invalid'],
  },
  'PUT /profiles/{profile}/files/{path}': {
    id: 'putProfileFile',
    summary: 'Writes one file.',
    body: { 'application/octet-stream': binary },
    answers: { 200: json('What changed.', object(OUTCOME)) },
    errors: [...OF_DRAFT, 'if_match_required', 'profile_file_too_large'],
  },
  'DELETE /profiles/{profile}/files/{path}': {
    id: 'deleteProfileFile',
    summary: 'Deletes one file.',
    answers: NO_CONTENT,
    errors: [...OF_DRAFT, 'if_match_required'],
  },
  'GET /profiles/{profile}/releases': {
    id: 'listProfileReleases',
    summary: 'The releases of a profile, the newest first.',
    answers: { 200: json('A page.', listOf(object(RELEASE))) },
    errors: OF_PROFILE,
  },
  'POST /profiles/{profile}/releases': {
    id: 'prepareProfileRelease',
    summary: 'Prepares a release of the files as they are; it never changes again.',
    answers: {
      201: json('The release.', preparedOf(RELEASE)),
      200: json('The files are those of a release that is there, or what a dry run found.', {
        anyOf: [preparedOf(RELEASE), preparedOf({ release: { type: 'null' }, digest: sha256 })],
      }),
    },
    errors: [
      ...OF_DRAFT,
      'profile_setting_invalid',
      'profile_setting_unknown',
      'profile_transport_refused',
      'truststore_does_not_verify',
      'would_cut_off_agents',
    ],
    example: { query: { dryRun: 'true' } },
  },
  'GET /profiles/{profile}/releases/{release}': {
    id: 'getProfileRelease',
    summary: 'One release, with its files.',
    answers: { 200: json('The release.', object({ ...RELEASE, files: array(FILE) })) },
    errors: [...OF_PROFILE, 'profile_release_unknown', 'release_unknown'],
  },
  'GET /profiles/{profile}/diff': {
    id: 'diffProfile',
    summary: 'What differs between two releases, or a release and the files as they are, in words.',
    answers: {
      200: json('What differs.', object({ from: textOrNull, to: textOrNull, changed: CHANGED })),
    },
    errors: [...OF_PROFILE, 'profile_release_unknown', 'release_unknown'],
  },
};

function preparedOf(release: Readonly<Record<string, Schema>>): Schema {
  return object({ dryRun: yes, isNew: yes, ...release, changed: CHANGED, overridden: array(FAULT) });
}

export const ROLLOUT_OPERATIONS: Operations = {
  'GET /software-releases': {
    id: 'listSoftwareReleases',
    summary: 'The releases of the software of agents, the newest first.',
    answers: { 200: json('A page.', listOf(object(SOFTWARE))) },
  },
  'POST /software-releases': {
    id: 'importSoftwareRelease',
    summary: 'Imports the archive of a build (.qgs).',
    body: { 'application/octet-stream': binary },
    answers: {
      201: json('The release.', object({ dryRun: yes, isNew: yes, ...SOFTWARE })),
      200: json('It was there, or what a dry run found.', object({ dryRun: yes, isNew: yes, ...SOFTWARE })),
    },
    errors: [
      'build_signature_invalid',
      'manifest_invalid',
      'release_exists',
      'release_part_unknown',
      'release_path_invalid',
      'release_too_large',
      'software_archive_invalid',
      'software_unsigned',
    ],
  },
  'GET /software-releases/{release}': {
    id: 'getSoftwareRelease',
    summary: 'One release, with its files.',
    answers: { 200: json('The release.', object({ ...SOFTWARE, files: array(FILE) })) },
    errors: ['software_release_unknown'],
  },
  'DELETE /software-releases/{release}': {
    id: 'deleteSoftwareRelease',
    summary: 'Deletes a release that no rollout uses.',
    answers: NO_CONTENT,
    errors: ['release_in_use', 'software_release_unknown'],
  },
  'GET /rollouts': {
    id: 'listRollouts',
    summary: 'The rollouts, the newest first.',
    answers: { 200: json('A page.', listOf(ROLLOUT)) },
    example: { query: { state: 'running' } },
  },
  'POST /rollouts': {
    id: 'createRollout',
    summary: 'Brings a release to agents, in waves.',
    answers: { 202: rollout, 200: json('What a dry run found.', reportOf(ROLLOUT)) },
    errors: OF_ROLLOUT,
  },
  'GET /rollouts/{rollout}': {
    id: 'getRollout',
    summary: 'One rollout; with If-None-Match and waitSeconds once it is another one.',
    answers: { 200: rollout, 304: UNCHANGED },
    errors: ['rollout_unknown'],
  },
  'GET /rollouts/{rollout}/agents': {
    id: 'listRolloutAgents',
    summary: 'How far each agent of a rollout is, and the cause where it is not further.',
    answers: { 200: json('A page.', listOf(ROLLOUT_AGENT)) },
    errors: ['rollout_unknown'],
  },
  'POST /rollouts/{rollout}/pause': act('pauseRollout', 'Offers the release to no further agent.'),
  'POST /rollouts/{rollout}/resume': act('resumeRollout', 'Goes on with a paused or halted rollout.'),
  'POST /rollouts/{rollout}/cancel': act('cancelRollout', 'Ends a rollout; agents keep what they run.'),
  'POST /rollouts/{rollout}/retry': act('retryRollout', 'Offers the release again to agents where it failed.'),
  'POST /rollouts/{rollout}/rollback': act('rollBackRollout', 'Brings the agents back to their previous releases.'),
  'GET /agents/{agent}/profile': {
    id: 'getAgentProfile',
    summary: 'The release that an agent shall run, the one that it reports, and its drift.',
    answers: {
      200: json(
        'The profile of the agent.',
        object({
          agentId: text,
          ...AGENT_PART,
          generation: countOrNull,
          rollout: textOrNull,
          software: array(object({ part: words(SOFTWARE_PARTS), ...AGENT_PART })),
        }),
      ),
    },
  },
  'POST /agents/{agent}/profile/measure': {
    id: 'measureAgentProfile',
    summary:
      'Makes the agent measure its releases. What it finds is in GET /agents/{agent}/profile when it has answered.',
    answers: { 202: json('The agent was asked to.', object({ agent: AGENT_REFERENCE })) },
    errors: ['agent_cannot_measure', 'agent_offline', 'profile_release_missing'],
  },
  'POST /agents/{agent}/profile/repair': {
    id: 'repairAgentProfile',
    summary: 'Brings the desired release to the agent again.',
    answers: { 202: rollout, 200: json('What a dry run found.', reportOf(ROLLOUT)) },
    errors: [...OF_ROLLOUT, 'profile_release_missing'],
  },
};
