import { describe, expect, it } from 'vitest';
import { compareVersions, obstacles, releasedChangelog } from '../.ci/release.ts';

describe('a release', () => {
  const ready = { version: '0.2.0', current: '0.1.0', changes: '', tags: ['v0.1.0'] };

  it('is made of a clean tree, for a version that is not older and has no tag', () => {
    expect(obstacles(ready)).toEqual([]);
    expect(obstacles({ ...ready, version: '0.1.0', tags: [] })).toEqual([]);
  });

  it('is refused for a dirty tree, an older version and a tag that exists, all at once', () => {
    const found = obstacles({ version: '0.0.9', current: '0.1.0', changes: ' M package.json\n', tags: ['v0.0.9'] });
    expect(found).toHaveLength(3);
    expect(found[0]).toContain(' M package.json');
  });

  it('compares versions by number', () => {
    expect(compareVersions('0.10.0', '0.9.9')).toBeGreaterThan(0);
    expect(compareVersions('1.0.0', '1.0.1')).toBeLessThan(0);
    expect(compareVersions('1.2.3', '1.2.3')).toBe(0);
    for (const bad of ['1.2', 'v1.2.3', '1.2.3-rc.1', '01.2.3', ''])
      expect(() => compareVersions(bad, '1.0.0')).toThrow('is not a version');
  });

  it('turns "Unreleased" into the section of the version, and leaves an empty one', () => {
    const before = '# Changelog\n\n## Unreleased\n\n- One thing.\n\n## 0.1.0 - 2026-01-01\n\n- Start.\n';
    expect(releasedChangelog(before, '0.2.0', '2026-02-03')).toBe(
      '# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-02-03\n\n- One thing.\n\n## 0.1.0 - 2026-01-01\n\n- Start.\n',
    );
    expect(() => releasedChangelog(before, '0.1.0', '2026-02-03')).toThrow('has a section 0.1.0 already');
    expect(() => releasedChangelog('# Changelog\n\n## Unreleased\n\n## 0.1.0 - x\n\n- Start.\n', '0.2.0', 'x')).toThrow(
      'has no entry',
    );
    expect(() => releasedChangelog('# Changelog\n', '0.2.0', 'x')).toThrow('no section "Unreleased"');
  });
});
