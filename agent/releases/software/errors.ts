// The errors of updates of the agent's own software, as an operator of an agent or of a rollout meets them.
import { defineErrors, type CodedError, type ErrorTable } from '../../../shared/errors.ts';

export const SOFTWARE_UPDATE_ERRORS = {
  software_without_launcher: {
    text: 'Central cannot update the software of this agent: its launcher has not started it.',
    hint: 'Install the agent from its package or its archive, and start it as a service (docs/INSTALL.md). Update an npm installation with npm.',
  },
  software_signers_missing: {
    text: 'This agent trusts no key of a build, so that it takes no software from Central.',
    hint: 'Set software.signers to the file with the public key of the build, in conf/agent.local.conf of the agent or as QUEUE_AGENT_SOFTWARE_SIGNERS, then retry the rollout.',
  },
  software_signer_unusable: {
    text: 'The file {file} of software.signers cannot be used: {found}.',
    hint: 'Name files with public keys (PEM, Ed25519 or P-256), such as build-key.pem of the build.',
  },
  release_unsigned: {
    text: 'The release {release} has no build signature.',
    hint: 'Build it with its key ("npm run dist -- --key FILE"), import the archive (.qgs) again, and start a new rollout.',
  },
  release_signer_unknown: {
    text: 'The build signature of the release {release} is not by a key that this agent trusts.',
    hint: 'Nothing was changed. Check who built the release. If the key is a new one, add its public key to software.signers on the agent first.',
  },
  runtime_foreign: {
    text: 'The runtime {name} is for {found}; this machine is {expected}.',
    hint: 'Nothing was changed. Start a rollout with the runtime for {expected}, and select the agents of each platform by a label.',
  },
  tries_exhausted: {
    text: 'The software {release} was started three times and ended each time before it was committed.',
    hint: 'The agent runs what it ran before. Look in its log for why the software ended, correct the release, and start a new rollout.',
  },
  slot_incomplete: {
    text: 'The software {release} was not whole on the disk when it was to be started.',
    hint: 'The agent runs what it ran before. Check its disk, then retry the rollout.',
  },
  trial_expired: {
    text: 'The software {release} neither connected nor gave up in time, and was ended.',
    hint: 'The agent runs what it ran before. Correct the release, and start a new rollout.',
  },
  trial_not_counted: {
    retryable: true,
    text: 'The software {release} was not started, because the launcher could not write to the disk.',
    hint: 'Free some space in the folder of the software. The agent repeats the trial.',
  },
  software_drift: {
    text: 'Files of the software {release} that runs have changed on the disk of the agent: {files}.',
    hint: 'Upgrade the agent to the same release again, which repairs them, and check who can write there.',
  },
  trial_unknown: {
    text: 'The agent was started with the software {release}, for which it has no instruction.',
    hint: 'No action needed: the agent runs what it ran before. Retry the rollout.',
  },
  software_trial_failed: {
    text: 'The trial of the software {release} failed with the code {code}.',
    hint: 'The agent runs what it ran before. Look in its log, correct the release, and start a new rollout.',
  },
} as const satisfies ErrorTable;

export const softwareFault = defineErrors(SOFTWARE_UPDATE_ERRORS);

/** Of the verdict that the launcher, or a candidate that could say no more, has written. */
export function verdictFault(code: string, release: string): CodedError {
  switch (code) {
    case 'tries_exhausted':
    case 'slot_incomplete':
    case 'trial_expired':
    case 'trial_unknown':
      return softwareFault(code, { release });
    default:
      return softwareFault('software_trial_failed', { release, code });
  }
}
