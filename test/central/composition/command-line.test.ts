import { describe, expect, it } from 'vitest';
import { CENTRAL_COMMANDS, centralHelp, readCommand } from '../../../central/composition/command-line.ts';

describe('the command line of queuegate-central', () => {
  it.each([
    [[], 'start', []],
    [['--log-level', 'debug'], 'start', ['--log-level', 'debug']],
    [['start', '--central-agent'], 'start', ['--central-agent']],
    [['create-administrator-token', '--data-folder', 'x'], 'create-administrator-token', ['--data-folder', 'x']],
    [['migrate-store', '--config', 'x'], 'migrate-store', ['--config', 'x']],
    [['version'], 'version', []],
    [['--version'], 'version', []],
    [['start', '--help'], 'help', []],
    [['create-administrator-token', '-h'], 'help', []],
    // Refused as an unknown flag (central/config.ts).
    [['frobnicate'], 'start', ['frobnicate']],
    [['constructor'], 'start', ['constructor']],
  ])('%j is %s with %j', (argv, command, rest) => {
    expect(readCommand(argv)).toEqual({ command, argv: rest });
  });

  it('has a help that names every command, in lines that fit a terminal', () => {
    for (const name of Object.keys(CENTRAL_COMMANDS)) expect(centralHelp()).toContain(`queuegate-central ${name}`);
    for (const line of centralHelp().split('\n')) expect(line.length, line).toBeLessThanOrEqual(120);
  });
});
