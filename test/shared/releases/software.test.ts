// What a release of the software is, by its files and its name (shared/releases/software.ts).
import { expect, it } from 'vitest';
import type { ReleaseFile } from '../../../shared/releases/manifest.ts';
import { runtimeTarget, SOFTWARE_PARTS, softwarePart, softwareVersion } from '../../../shared/releases/software.ts';

const file = (path: string, executable = false): ReleaseFile => ({ path, size: 1, sha256: 'a'.repeat(64), executable });
const part = (...files: ReleaseFile[]): string => softwarePart({ kind: 'software', name: 'x', files });

it('is a program with agent/cli.js, or a runtime with an executable node', () => {
  expect([part(file('agent/cli.js'), file('node-options')), part(file('node', true))]).toEqual(SOFTWARE_PARTS);
  expect(part(file('node.exe', true))).toBe('runtime');
});

it('is refused with neither, with both, and as another kind', () => {
  const both = [file('agent/cli.js'), file('node', true)];
  for (const files of [[], [file('node')], [file('agent/cli.ts')], both])
    expect(() => part(...files)).toThrow(expect.objectContaining({ code: 'release_part_unknown' }));
  expect(() => softwarePart({ kind: 'profile', name: 'x', files: [file('agent/cli.js')] })).toThrow(
    expect.objectContaining({ code: 'release_part_unknown' }),
  );
});

it('has its version and its platform in its name', () => {
  const named = (name: string): unknown => [softwareVersion(name), runtimeTarget(name)];
  expect(named('queue-agent-program-0.2.0')).toEqual(['0.2.0', undefined]);
  expect(named('queue-agent-program-0.2.0-rc.1')).toEqual(['0.2.0-rc.1', undefined]);
  expect(named('queue-agent-runtime-26.10.0-linux-x64')).toEqual(['26.10.0', 'linux-x64']);
  expect(named('queue-agent-runtime-26.10.0-win-x64')).toEqual(['26.10.0', 'win-x64']);
  expect(named('branch')).toEqual([undefined, undefined]);
});
