// The error of the dashboard's files.
import { defineErrors } from '../../shared/errors.ts';

export const DASHBOARD_ERRORS = {
  dashboard_not_built: {
    status: 503,
    text: 'The files of the dashboard are missing: {found}.',
    hint: 'Install the package again; in a checkout run "npm ci", or "npm run build" where dist is used. REST and the command line work without them.',
  },
} as const;

export const dashboardFault = defineErrors(DASHBOARD_ERRORS);
