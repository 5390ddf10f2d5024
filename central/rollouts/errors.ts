// The errors of rollouts: what an administrator is refused, and the causes that Central itself records for an agent or
// a rollout. Causes that an agent reports are in the agent's own tables.
import { defineErrors, type ErrorTable, type ParametersOf } from '../../shared/errors.ts';
import type { Cause } from '../store/rollouts/rollout-store.ts';

export const ROLLOUT_ERRORS = {
  rollout_state_conflict: {
    status: 409,
    text: 'The rollout {rollout} is {state}; allowed: {allowed}.',
    hint: 'See "queuegate rollouts show {rollout}" for its state, then choose another command.',
  },
  rollout_lead_moves: {
    status: 503,
    retryable: true,
    text: 'No node runs the rollouts at this moment: the lead moves from one node to another.',
    hint: 'Nothing was done. Send the request again in some seconds; "queuegate nodes list" shows which node leads.',
  },
  rollout_leader_silent: {
    status: 503,
    retryable: true,
    text: 'The node {leader}, which runs the rollouts, did not answer in time: whether it carried the act out is not known.',
    hint: 'See "queuegate rollouts list" for what became of it, then send it again if it was not carried out.',
  },
  rollout_stage_conflict: {
    status: 409,
    text: 'The rollout {rollout} has the stage {stage}; allowed: {allowed}.',
    hint: 'An upgrade continues a rollout that synchronized the same release. Only an upgrade can be rolled back.',
  },
  rollout_nothing_to_do: {
    status: 409,
    text: 'The rollout {rollout} has no agent to {act}.',
    hint: 'See "queuegate rollouts show {rollout} --agents" for the state of each agent.',
  },
  rollout_plan_invalid: {
    status: 422,
    text: 'The plan of the rollout is invalid: {found}.',
    hint: 'Write waves in growing order that end with all agents, such as 1,10%,100%.',
  },
  rollout_release_unknown: {
    status: 422,
    text: 'The release {release} is unknown.',
    hint: 'See "queuegate profiles releases NAME" or "queuegate software list". Name a release as NAME@PREFIX, with at least 8 characters of its digest, or by its digest.',
  },
  profile_release_missing: {
    status: 409,
    text: 'The agent {agent} has no release of a profile.',
    hint: 'Assign one with "queuegate profiles upgrade".',
  },
  agent_offline: {
    status: 503,
    retryable: true,
    text: 'The agent {agent} has no session.',
    hint: 'Send it again when the agent is online; "queuegate agents show {agent}" says since when it is not.',
  },
  agent_cannot_measure: {
    status: 501,
    text: 'The agent {agent} cannot measure its releases on request: its version {version} is too old.',
    hint: 'Update the software of the agent. It measures at its start and each hour: "queuegate agents profile show {agent}".',
  },
} as const satisfies ErrorTable;

export const rolloutFault = defineErrors(ROLLOUT_ERRORS);

/** Codes of `stateReason`, of an agent in a rollout or of the rollout. */
export const ROLLOUT_CAUSES = {
  agent_without_releases: {
    text: 'The agent cannot take releases: its version {version} is too old.',
    hint: 'Update the software of the agent, then run "queuegate rollouts retry {rollout}".',
  },
  no_answer: {
    text: 'The agent did not answer {count} offers, {minutes} minutes apart, while it was connected.',
    hint: 'Check the log of the agent, then run "queuegate rollouts retry {rollout}".',
  },
  download_timed_out: {
    text: 'The agent did not have all files within {hours} hours.',
    hint: 'Check the line to the agent and the rate of the rollout, then run "queuegate rollouts retry {rollout}": what it has is kept.',
  },
  trial_unreported: {
    text: 'The trial should be over, and the agent has not reported its outcome.',
    hint: 'Check that the agent is running. If the trial does not succeed, it returns to the previous release automatically.',
  },
  trial_timed_out: {
    text: 'The trial had no outcome within {hours} hours.',
    hint: 'Check the log of the agent: it stays on the previous release. Then run "queuegate rollouts retry {rollout}".',
  },
  release_reverted: {
    text: 'The agent reported {reported} after it had succeeded.',
    hint: 'Find out on its host why it left the release: its data folder may have been restored, or its profile replaced by hand.',
  },
  release_previous_unknown: {
    text: 'The profile that the agent had before was not a release of Central.',
    hint: 'Import that profile, prepare a release of it, and upgrade the agent to it.',
  },
  rollback_requested: {
    text: 'An administrator rolled the rollout back.',
    hint: 'No action needed.',
  },
  rollout_errors: {
    text: '{errors} of {agents} agents in wave {wave} failed; allowed: {allowed}.',
    hint: 'See why with "queuegate rollouts show {rollout} --agents --state failed,rolled-back,timed-out". Then "queuegate rollouts resume {rollout}" continues, "queuegate rollouts rollback {rollout}" returns to the previous releases.',
  },
  rollout_few_successes: {
    text: '{successes} of {agents} agents in wave {wave} succeeded; required: {required}.',
    hint: 'See why with "queuegate rollouts show {rollout} --agents --state failed,rolled-back,timed-out". Then "queuegate rollouts retry {rollout}" repeats those, "queuegate rollouts resume {rollout}" continues without them.',
  },
} as const satisfies ErrorTable;

const causeFault = defineErrors(ROLLOUT_CAUSES);

export const NO_CAUSE: Cause = { code: '', detail: '', hint: '' };

/** As it is stored and answered. */
export function causeOf<C extends keyof typeof ROLLOUT_CAUSES>(
  code: C,
  parameters: ParametersOf<(typeof ROLLOUT_CAUSES)[C]>,
): Cause {
  const { message, hint } = causeFault(code, parameters);
  return { code, detail: message, hint };
}

export const rolloutId = ({ number }: { readonly number: number }): string => `r-${number}`;
