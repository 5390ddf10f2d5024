import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { VERSION } from '../../shared/version.ts';

const ROOT = join(import.meta.dirname, '../..');
const { bin } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { bin: Record<string, string> };

/** A Node.js of the system that is older than the one of the project. */
const OLD_NODE = ['/usr/bin/node', '/usr/local/bin/node'].find((node) => {
  const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  return /^v\d+/.test(stdout ?? '') && Number(stdout.slice(1).split('.')[0]) < 26;
});

describe('the commands of the package', () => {
  it.each(Object.entries(bin).filter(([name]) => name !== 'queuegate-central'))(
    '%s starts its program',
    (_name, file) => {
      const { stdout, status } = spawnSync(process.execPath, [join(ROOT, file), '--version'], { encoding: 'utf8' });
      expect([stdout, status]).toEqual([expect.stringContaining(VERSION), 0]);
    },
  );

  it.runIf(OLD_NODE !== undefined).each(Object.entries(bin))(
    '%s says on an old Node.js that it needs Node.js 26, and what to do',
    (_name, file) => {
      const { stderr, status } = spawnSync(OLD_NODE ?? '', [join(ROOT, file), 'start'], { encoding: 'utf8' });
      expect(status).toBe(1);
      expect(stderr).toMatch(
        /^error: Queuegate needs Node\.js 26 or newer; this is [\d.]+ \(.*\)\.\n {2}Install Node\.js 26/,
      );
    },
  );

  it('check the version with a syntax that an old Node.js reads', () => {
    for (const file of [...Object.values(bin), 'shared/bin/start.cjs'])
      expect(readFileSync(join(ROOT, file), 'utf8')).not.toMatch(/=>|`|\bconst\b|\blet\b|\?\.|\?\?|^import /m);
  });
});
