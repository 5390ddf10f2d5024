// The errors of releases: manifests, the files that they name, instructions and tickets.
import { defineErrors, type ErrorTable } from '../errors.ts';

export const RELEASE_ERRORS = {
  release_path_invalid: {
    status: 422,
    text: '"{path}" cannot be part of a release: {found}.',
    hint: 'Rename or remove it, then try again. Names have to be legal on Linux and on Windows; links and devices are not carried.',
  },
  release_too_large: {
    status: 422,
    text: 'The release has {found}; allowed: {allowed}.',
    hint: 'Remove what the agents do not need, then try again.',
  },
  manifest_invalid: {
    status: 422,
    text: 'The manifest is not valid: {found}.',
    hint: 'Download or prepare the release again: a manifest is written by Queuegate only, byte for byte as docs/PROTOCOL.md says.',
  },
  release_part_unknown: {
    status: 422,
    text: 'The release {name} is neither a program (agent/cli.js) nor a runtime (an executable file node) of the agent: {found}.',
    hint: 'Import an archive (.qgs) that "npm run dist" has written: the program and the runtime are releases of their own.',
  },
  build_signature_invalid: {
    status: 422,
    text: 'The build signature of the release is not valid: {found}.',
    hint: 'Import or download the archive (.qgs) again, as the build has written it.',
  },
  instruction_invalid: {
    status: 422,
    text: 'The instruction for a release is not valid: {found}.',
    hint: 'Nothing was changed. If it happens again, compare the versions of the agent and of Central, and look for a device that changes traffic.',
  },
  instruction_refused: {
    status: 422,
    text: 'The instruction for the release {release} was refused: {found}.',
    hint: '{action}',
  },
} as const satisfies ErrorTable;

export const releaseFault = defineErrors(RELEASE_ERRORS);
