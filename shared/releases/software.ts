// What a release of the agent's software is: the program (one bundle for every platform) or the runtime (Node.js for
// one platform). Each is a release of its own, so that an update of the program carries no Node.js.
import { releaseFault } from './errors.ts';
import type { Manifest } from './manifest.ts';

export const SOFTWARE_PARTS = ['program', 'runtime'] as const;
type SoftwarePart = (typeof SOFTWARE_PARTS)[number];
/** What of an agent a release replaces: each has its own release. */
export const RELEASE_PARTS = ['profile', ...SOFTWARE_PARTS] as const;
export type ReleasePart = (typeof RELEASE_PARTS)[number];

/** What the launcher starts (deploy/queue-agent/launch). */
const PROGRAM_FILE = 'agent/cli.js';
const RUNTIME_FILES = new Set(['node', 'node.exe']);

/** Errors: release_part_unknown. */
export function softwarePart({ kind, name, files }: Pick<Manifest, 'kind' | 'name' | 'files'>): SoftwarePart {
  const isProgram = files.some(({ path }) => path === PROGRAM_FILE);
  const isRuntime = files.some(({ path, executable }) => executable && RUNTIME_FILES.has(path));
  if (kind !== 'software') throw releaseFault('release_part_unknown', { name, found: `its kind is "${kind}"` });
  if (isProgram === isRuntime)
    throw releaseFault('release_part_unknown', { name, found: isProgram ? 'it has both' : 'it has neither' });
  return isProgram ? 'program' : 'runtime';
}

/** As the name says, which Central holds to the files when it imports a release. */
export function releasePart({ kind, name }: Pick<Manifest, 'kind' | 'name'>): ReleasePart {
  return kind === 'profile' ? 'profile' : (namedPart(name) ?? 'program');
}

/** The part in a name such as queue-agent-program-0.2.0; undefined: it has none. */
export function namedPart(name: string): SoftwarePart | undefined {
  return SOFTWARE_PARTS.find((part) => part === parseName(name)?.['part']);
}

/** The version in a name such as queue-agent-program-0.2.0; undefined: it has none. */
export function softwareVersion(name: string): string | undefined {
  return parseName(name)?.['version'];
}

/** The platform of a runtime, "linux-x64", as shared/platform/machine.ts names them; undefined: its name has none. */
export function runtimeTarget(name: string): string | undefined {
  return parseName(name)?.['target'];
}

function parseName(name: string): Record<string, string | undefined> | undefined {
  return /^queue-agent-(?<part>program|runtime)-(?<version>\d[0-9A-Za-z.+-]*?)(?:-(?<target>[a-z0-9]+-(?:x64|arm64)))?$/.exec(
    name,
  )?.groups;
}
