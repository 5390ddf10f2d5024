import { execFileSync, spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../../../central/cli/commands.ts';
import { runCli } from '../../../../central/cli/run.ts';
import { secretsFrom } from '../../../shared/secrets.ts';

async function queuegate(...line: string[]): Promise<{ status: number; out: string; error: string }> {
  const [out, error]: [string[], string[]] = [[], []];
  const status = await runCli(line, {
    environment: {},
    workingFolder: '/nonexistent',
    out: (text) => out.push(text),
    error: (text) => error.push(text),
    readStdin: async () => '',
    terminal: false,
    secrets: secretsFrom(''),
    canPrompt: false,
    signal: new AbortController().signal,
  });
  return { status, out: out.join('\n'), error: error.join('\n') };
}

function has(shell: string): boolean {
  return spawnSync(shell, ['--version']).status === 0;
}

describe('completion', () => {
  it.each(['bash', 'zsh', 'fish', 'powershell'])('of %s has every command and option', async (shell) => {
    const { status, out } = await queuegate('completion', shell);
    expect(status).toBe(0);
    for (const { name, options } of COMMANDS) {
      expect(out).toMatch(new RegExp(`\\b${name.split(' ').at(-1)}\\b`));
      for (const option of Object.keys(options)) expect(out).toContain(`--${option}`);
    }
  });

  it('of another shell is refused with the ones that there are', async () => {
    expect(await queuegate('completion', 'csh')).toMatchObject({
      status: 2,
      error: expect.stringContaining('allowed are bash, zsh, fish, powershell'),
    });
  });

  it.each(['bash', 'zsh', 'fish'])('of %s is a script that this shell can read', async (shell) => {
    if (!has(shell)) return console.warn(`SKIPPED: ${shell} is not installed`);
    const { out } = await queuegate('completion', shell);
    expect(execFileSync(shell, ['-n'], { input: out, encoding: 'utf8' })).toBe('');
  });

  it.each([
    [['age'], 'agents'],
    [['agents', 'sho'], 'show'],
    [['--url', 'x', 'agents', 'li'], 'list'],
    [['agents', 'list', '--stat'], '--state'],
    [['agents', 'show', 'branch-1', '--js'], '--json'],
    [['agents', 'list', '--state', ''], ''],
    [['ca', 'rotation', 'p'], 'prepare publish'],
    [['truststore', 'im'], 'import'],
    [['completion', 'f'], 'fish'],
    [['xyzzy', 'a'], ''],
  ])('of bash completes %j', async (words, expected) => {
    if (!has('bash')) return console.warn('SKIPPED: bash is not installed');
    const { out } = await queuegate('completion', 'bash');
    const line = `${out}\nCOMP_WORDS=(queuegate "$@"); COMP_CWORD=$#; _queuegate; echo "\${COMPREPLY[*]}"`;
    expect(execFileSync('bash', ['-c', line, 'bash', ...words], { encoding: 'utf8' }).trim()).toBe(expected);
  });
});

describe('version', () => {
  it('is that of this program, for people and as JSON', async () => {
    expect((await queuegate('version')).out).toMatch(/^queuegate \d+\.\d+\.\d+$/);
    expect(JSON.parse((await queuegate('version', '-o', 'json')).out)).toMatchObject({ name: 'queuegate' });
  });
});
