// The English of the tab Release of an agent.
import { plural } from '../format.ts';

export const RELEASE_TEXTS = {
  tab: 'Release',
  title: 'Desired and reported',
  details: 'Details',
  what: 'What',
  desired: 'Desired',
  reported: 'Reported',
  profile: 'Profile',
  roots: 'Root of the rotation',
  trusted: 'trusted',
  notTrusted: 'not trusted',
  same: 'same',
  differs: 'differs',
  ofPackage: (version: string) => `${version}, of the package`,
  at: (time: string) => `Reported at ${time}`,
  inRollout: (id: string) => `In the rollout ${id}`,
  files: 'Changed files:',
  keys: 'Overridden on the host:',
  measure: 'Measure now',
  measuring: 'The agent measures its release; the result follows.',
  notMeasured: 'Nothing was measured in this session.',
  measured: (time: string, isChanged: boolean) =>
    isChanged ? `Measured at ${time}: files were changed.` : `Measured at ${time}: no file was changed.`,
  offline: 'The agent is not connected',
  repair: 'Repair',
  repairTitle: (name: string) => `Repair the profile of ${name}`,
  repairText:
    'The agent gets its desired release again, by a rollout of its own. Files that were added are removed, changed and missing ones restored.',
  repairs: (release: string, count: number) => `${plural(count, 'file')} would again be as in ${release}`,
  repairing: 'The repair has started.',
  overrides: 'Values of the host count in place of those of the profile',
} as const;
