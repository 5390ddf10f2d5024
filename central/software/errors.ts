// The errors of software releases: importing an archive (.qgs), finding and deleting a release.
import { defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const SOFTWARE_ERRORS = {
  software_archive_invalid: {
    status: 422,
    text: 'The archive is not a release of the software: {found}.',
    hint: 'Import a file .qgs as "npm run dist" has written it. Nothing was stored.',
  },
  software_unsigned: {
    status: 409,
    text: 'The release {name} has no signature of a build: agents refuse it.',
    hint: 'Import the archive of a build with a key ("npm run dist" with --key), or import this one nevertheless (--force).',
  },
  software_release_unknown: {
    status: 404,
    text: 'There is no software release {found}, or several begin with it.',
    hint: 'See "queuegate software list". Name it by NAME, by NAME@PREFIX, or by at least 8 digits of its digest.',
  },
} as const satisfies ErrorTable;

export const softwareFault = defineErrors(SOFTWARE_ERRORS);
