// The errors of profiles: importing, editing, and preparing a release.
import { defineErrors, type CodedError } from '../../shared/errors.ts';

export const PROFILE_ERRORS = {
  profile_name_invalid: {
    status: 400,
    text: 'The name {found} of a profile is invalid; allowed: 1 to 64 letters, digits, dots, dashes and underscores, beginning with a letter or a digit.',
    hint: 'Choose another name (--name).',
  },
  archive_invalid: {
    status: 422,
    text: 'The archive cannot be imported: {found}.',
    hint: 'Import a directory with "queuegate profiles import", or send a plain tar file ("tar -C DIRECTORY -cf - .") without compression.',
  },
  profile_conf_missing: {
    status: 422,
    text: 'The profile {name} has no file conf/agent.conf.',
    hint: 'Import the directory that contains conf/agent.conf, such as agentProfiles/default.',
  },
  profile_file_unknown: {
    status: 404,
    text: 'The profile {name} has no file {path}.',
    hint: 'See "queuegate profiles files list {name}".',
  },
  profile_file_too_large: {
    status: 413,
    text: '{path} has more than {allowed} bytes.',
    hint: 'Only a smaller file can be read as configuration or as a truststore.',
  },
  profile_setting_unknown: {
    status: 422,
    text: 'The setting {setting} is unknown, and not in the agent.conf of the profile{meant}.',
    hint: 'Correct the name (docs/CONFIGURATION.md). --force sets a key that belongs to another product.',
  },
  profile_setting_invalid: {
    status: 422,
    text: 'The agent would refuse this agent.conf. {found}',
    hint: 'Correct the values ("queuegate profiles set {name} KEY=VALUE"). Nothing was changed.',
  },
  profile_truststore_outside: {
    status: 422,
    text: 'The truststore of the profile {name} is {found}, which is not a file of the profile.',
    hint: 'Set the setting "truststore" to a path inside of the profile, such as conf/security/truststore.jks.',
  },
  truststore_does_not_verify: {
    status: 409,
    text: 'Agents with the profile {name} would refuse Central: {found}.',
    hint: 'Import the certificate of Central ("queuegate profiles truststore import {name} --central"), or prepare the release nevertheless (--force).',
  },
  profile_transport_refused: {
    status: 409,
    text: 'Agents with the profile {name} would connect over {transport}, which Central does not accept now ({parameter} is false).',
    hint: 'Switch it on ("queuegate parameters set {parameter}=true"), set central.websocket.secure of the profile, or prepare the release nevertheless (--force).',
  },
  profile_release_unknown: {
    status: 404,
    text: 'The profile {name} has no release {found}.',
    hint: 'See "queuegate profiles releases {name}". Use at least the first 8 digits of its digest.',
  },
  if_match_required: {
    status: 428,
    text: 'The header If-Match is missing: two administrators must not overwrite each other.',
    hint: 'Read the profile, and send its ETag in If-Match.',
  },
} as const;

export const profileFault = defineErrors(PROFILE_ERRORS);

/** Of an agent.conf that the agent would refuse: its own words, in one line. */
export function settingsRefused(name: string, fault: CodedError): CodedError {
  return profileFault('profile_setting_invalid', { name, found: fault.message.replaceAll(/\s*\n\s*/g, ' ') }, fault);
}
