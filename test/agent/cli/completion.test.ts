import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { completionOf } from '../../../agent/cli/completion.ts';
import { COMMANDS } from '../../../agent/cli/commands.ts';
import { TRUSTSTORE_COMMANDS } from '../../../shared/truststore/command.ts';

it.each(['bash', 'zsh', 'fish', 'powershell'])('of %s has every command and option', (shell) => {
  const script = completionOf(shell, COMMANDS);
  const words = COMMANDS.flatMap(({ name, options }) => [
    ...name.split(' '),
    ...Object.keys(options).map((option) => `--${option}`),
  ]);
  for (const word of [...words, '--profile', '--central-host', ...TRUSTSTORE_COMMANDS.map(({ name }) => name)])
    expect(script).toContain(word);
});

it.each([
  [['en'], 'enroll'],
  [['certificate', ''], 'request install'],
  [['--profile', 'x', 'consumers', 'ro'], 'rotate-token'],
  [['enroll', '--re'], '--replace-identity'],
  [['truststore', 'im'], 'import'],
  [['completion', 'f'], 'fish'],
])('of bash completes %j with %s', (words, expected) => {
  const list = ['queue-agent', ...words].map((word) => `'${word}'`).join(' ');
  const asked = `COMP_WORDS=(${list}); COMP_CWORD=${words.length}; _queue_agent; echo "\${COMPREPLY[@]}"`;
  const found = execFileSync('bash', ['-c', `${completionOf('bash', COMMANDS)}\n${asked}`], { encoding: 'utf8' });
  expect(found.trim()).toBe(expected);
});

it('of another shell is refused with the ones that there are', () => {
  expect(() => completionOf('csh', COMMANDS)).toThrow('allowed: bash, zsh, fish, powershell');
});
