// The errors of downloads: the manifest and the files of a release, on the agents' ports.
import { defineErrors } from '../../../shared/errors.ts';

export const DOWNLOAD_ERRORS = {
  ticket_invalid: {
    status: 401,
    text: 'The ticket of the download is missing, wrong or expired.',
    hint: 'No action needed: the agent gets a new ticket with the next offer of the release. If it is refused again, check that no proxy removes the header Authorization.',
  },
  download_forbidden: {
    status: 403,
    text: 'The agent {agent} gets no releases: it is {found}.',
    hint: 'Enable it ("queuegate agents enable {agent}"), or enroll the machine again, when it is to work.',
  },
  download_unknown: {
    status: 404,
    text: '{wanted} is not part of the release {release} of this ticket, or the release was deleted.',
    hint: 'No action needed if the release was deleted. Otherwise prepare it again ("queuegate profiles prepare") and roll it out.',
  },
  too_many_downloads: {
    status: 429,
    text: 'The agent {agent} has {most} downloads open, which is the limit of one agent.',
    hint: 'Retry when one of them is complete.',
  },
  downloads_full: {
    status: 503,
    text: '{most} downloads are open, which is the limit of this Central.',
    hint: 'Retry later: downloads continue where they were interrupted.',
  },
  range_unsatisfiable: {
    status: 416,
    text: 'The range {found} is outside of the content, which has {size} bytes.',
    hint: 'Begin again without Range.',
  },
} as const;

export const downloadFault = defineErrors(DOWNLOAD_ERRORS);
