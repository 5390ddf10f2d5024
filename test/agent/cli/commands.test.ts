import { describe, expect, it } from 'vitest';
import { expectNoArguments, helpOf, parseCall, UsageError, type AgentCommand } from '../../../agent/cli/command.ts';
import { COMMANDS, runCommand } from '../../../agent/cli/commands.ts';
import { SecretInput } from '../../../shared/terminal/secret-input.ts';

const SECRETS = new SecretInput();
const command = (name: string): AgentCommand => {
  const found = COMMANDS.find((one) => one.name === name);
  if (found === undefined) throw new Error(name);
  return found;
};
const parse = (name: string, ...args: string[]) => parseCall(command(name), args, {}, SECRETS);
const run = async (...argv: string[]) => await runCommand(argv, {}, SECRETS);

describe('the help of queue-agent', () => {
  it('shows every flag of every command, in lines that fit a terminal', () => {
    for (const one of COMMANDS)
      for (const flag of Object.keys(one.options)) expect(helpOf([one]), one.name).toMatch(new RegExp(`--${flag}\\b`));
    for (const line of helpOf(COMMANDS).split('\n')) expect(line.length, line).toBeLessThanOrEqual(120);
  });

  it.each([
    ['enroll', '--help'],
    ['certificate', '-h'],
    ['consumers', 'list', '--help'],
    ['help'],
    ['--version'],
    ['version'],
  ])('is there on every level, with exit status 0: %s %s', async (...argv) => {
    expect(await run(...argv)).toBe(0);
  });

  it('comes with exit status 2 where no command is named', async () => {
    expect(await run()).toBe(2);
  });
});

describe('a command line that fits no usage', () => {
  it.each([
    [['frobnicate'], 'unknown command "queue-agent frobnicate"'],
    [['constructor'], 'unknown command "queue-agent constructor"'],
    [['certificate'], 'certificate needs the word request or install'],
    [['consumers', 'lists'], 'consumers needs the word list or rotate-token'],
    [['start', 'now'], 'start does not take "now"'],
    [['enroll'], 'enroll needs one URL'],
    [['enrol'], 'enroll needs one URL'],
    [['consumer', 'lists'], 'consumers needs the word list or rotate-token'],
    [['enroll', 'https://x', '--wait', '-1x'], '--wait'],
    [['doctor', '--pin', 'x'], 'belong to doctor --enroll URL'],
    [['status', '--frob'], "Unknown option '--frob'"],
    [['status', '-o', 'xml'], '--output is "xml"; allowed are table, wide, json, ndjson, name'],
    [['status', '--timeout', '5'], '--timeout is "5"'],
    [['start', '--json'], "Unknown option '--json'"],
  ])('%j is a usage error: %s', async (argv, text) => {
    const refused = run(...argv);
    await expect(refused).rejects.toBeInstanceOf(UsageError);
    await expect(refused).rejects.toThrow(text);
  });
});

describe('a call', () => {
  it('has its flags, those of the settings, and the profile by flag, environment or default', () => {
    const call = parse(
      'enroll',
      'https://x',
      '--pin',
      'p',
      '--replace-identity',
      '--log-level',
      'debug',
      '--profile',
      'f',
    );
    if (call === 'help') throw new Error('no call');
    expect([call.positionals, call.text('pin'), call.flag('replace-identity'), call.flag('wait')]).toEqual([
      ['https://x'],
      'p',
      true,
      false,
    ]);
    expect(call.request).toMatchObject({ profileFolder: 'f', flags: { 'log-level': 'debug' } });
    expect(() => expectNoArguments(call, 'x')).toThrow('x does not take "https://x"');
    const byVariable = parseCall(command('start'), [], { QUEUE_AGENT_PROFILE: 'g' }, SECRETS);
    expect(byVariable).toMatchObject({ request: { profileFolder: 'g' } });
    expect(parse('start')).toMatchObject({ request: { profileFolder: 'profiles/default' } });
  });
});
