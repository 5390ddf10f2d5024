import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { wrongDash } from '../../../shared/terminal/dashes.ts';

const ROOT = join(import.meta.dirname, '../../..');

describe('a dash that is not a hyphen', () => {
  it.each(['\u2013out', '\u2014out', '\u2013\u2013out', '\u2212out', '\u2010\u2010out', '\uff0d\uff0dout'])(
    '%s is named with what to type',
    (word) =>
      expect(wrongDash(['file', word])).toContain(`"${word}" begins with a dash that is not a hyphen; type --out`),
  );

  it('is none in flags, values and names', () => {
    expect(wrongDash(['--out', '-h', '-', 'a\u2013b', ''])).toBeUndefined();
  });

  it.each([
    ['agent/cli.ts', ['start', '\u2014profile', 'x']],
    ['agent/cli.ts', ['truststore', 'list', 'x.jks', '\u2013password-file', 'p']],
    ['central/cli.ts', ['store', 'backup', '\u2013out', 'x']],
    ['central/main.ts', ['\u2014data-folder', 'x']],
  ])('is named by %s, which exits without doing anything', (script, args) => {
    const ended = spawnSync(process.execPath, [join(ROOT, script), ...args], { encoding: 'utf8' });
    expect(ended.stderr).toContain('begins with a dash that is not a hyphen; type --');
    expect(ended.status).toBeGreaterThan(0);
  });
});
