import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const LAUNCH = resolve(import.meta.dirname, '../../deploy/queue-agent/launch');
const [OLD, NEW, OTHER] = ['a'.repeat(64), 'b'.repeat(64), 'c'.repeat(64)];

/** Stands for Node.js: says what it was started with, and then does what BEHAVE says. */
const NODE = `#!/bin/sh
echo "$QUEUE_AGENT_SLOT|$*|\${NODE_OPTIONS-none}|$$"
eval "\${BEHAVE-:}"
`;
/** A command that the launcher uses, which kills it with -9 before or after the step with the number KILL_AT. */
const STEP = (command: string): string => `#!/bin/sh
n=$(($(cat "$STEPS") + 1))
echo $n >"$STEPS"
[ "$n" = "\${KILL_AT-}" ] && [ "$KILL_WHEN" = before ] && kill -9 $PPID && exit 1
${command} "$@"
status=$?
[ "$n" = "\${KILL_AT-}" ] && kill -9 $PPID
exit $status
`;

let root: string;
let launch: string;
const state = (name: string): string => join(root, 'software/state', name);
const read = (name: string): string | undefined =>
  existsSync(state(name)) ? readFileSync(state(name), 'utf8') : undefined;
const write = (name: string, text: string): void => writeFileSync(state(name), text);
const remove = (...names: string[]): void => names.forEach((name) => rmSync(state(name), { force: true }));

function makeProgram(folder: string): void {
  mkdirSync(join(folder, 'agent'), { recursive: true });
  writeFileSync(join(folder, 'agent/cli.js'), '');
}

function makeExecutable(file: string, text: string): void {
  writeFileSync(file, text);
  chmodSync(file, 0o755);
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'queuegate-launch-'));
  launch = join(root, 'lib/launch');
  for (const folder of ['lib/factory/runtime', 'software/state', 'steps'])
    mkdirSync(join(root, folder), { recursive: true });
  cpSync(LAUNCH, launch);
  makeExecutable(join(root, 'lib/factory/runtime/node'), NODE);
  makeProgram(join(root, 'lib/factory/program'));
  for (const digest of [OLD, NEW]) makeProgram(join(root, 'software/slots', digest));
  for (const [name, command] of [
    ['sync', '/bin/sync'],
    ['mv', '/bin/mv'],
  ] as const)
    makeExecutable(join(root, 'steps', name), STEP(command));
  makeExecutable(join(root, 'steps/sleep'), '#!/bin/sh\nexec /bin/sleep 0.01\n');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Started as the unit starts it, until what it started ends. The slot that ran, its arguments and its NODE_OPTIONS. */
function run(
  environment: Readonly<Record<string, string>> = {},
  command = 'start',
): { slot: string; args: string; options: string } {
  writeFileSync(join(root, 'count'), '0');
  const { stdout } = spawnSync(launch, [command], {
    encoding: 'utf8',
    env: {
      PATH: `${join(root, 'steps')}:/usr/bin:/bin`,
      QUEUE_AGENT_SOFTWARE_FOLDER: join(root, 'software'),
      STEPS: join(root, 'count'),
      ...environment,
    },
  });
  const [slot = '', args = '', options = ''] = stdout.split('|');
  return { slot, args, options };
}

const current = { slot: `current ${OLD} factory` };
const candidate = { slot: `candidate ${NEW} factory` };
const factory = { slot: 'current factory factory' };

describe('the launcher', () => {
  it('starts the slot of the package where nothing else is installed, also without a folder for slots', () => {
    expect(run()).toMatchObject({ ...factory, args: `${root}/lib/factory/program/agent/cli.js start` });
    rmSync(join(root, 'software'), { recursive: true });
    expect(run()).toMatchObject(factory);
  });

  it('clears what would change how Node.js runs, and adds the options of the program', () => {
    writeFileSync(join(root, 'lib/factory/program/node-options'), '--max-semi-space-size=1 --no-opt\n');
    expect(run({ NODE_OPTIONS: '--require /tmp/evil.js' })).toMatchObject({
      args: `--max-semi-space-size=1 --no-opt ${root}/lib/factory/program/agent/cli.js start`,
      options: 'none',
    });
  });

  it.each([
    ['missing', undefined],
    ['cut', `${OLD} fact`],
    ['cut at a blank', `${OLD} factory`],
    ['empty', ''],
    ['foreign', '../../../etc passwd\n'],
    ['of a slot that is not there', `${OTHER} factory\n`],
  ])('leads to the slot of the package when current is %s', (_what, text) => {
    if (text !== undefined) write('current', text);
    expect(run()).toMatchObject(factory);
  });

  it('starts a candidate three times, counted before each start, and then the slot before', () => {
    write('current', `${OLD} factory\n`);
    write('candidate', `${NEW} factory 300\n`);
    for (const count of [1, 2, 3]) {
      expect(run()).toMatchObject(candidate);
      expect(read('tries')).toBe(`${NEW} factory ${count}\n`);
    }
    expect(run()).toMatchObject(current);
    expect(read('verdict')).toBe(`${NEW} factory tries_exhausted\n`);
    expect(run()).toMatchObject(current);
  });

  it('returns from a program that throws at its start', () => {
    write('current', `${OLD} factory\n`);
    write('candidate', `${NEW} factory 300\n`);
    const slots = Array.from({ length: 5 }, () => run({ BEHAVE: 'exit 1' }).slot);
    expect(slots).toEqual([...Array.from({ length: 3 }, () => candidate.slot), current.slot, current.slot]);
  });

  it('looks at a verdict before its candidate, and not at the one of another candidate', () => {
    write('current', `${OLD} factory\n`);
    write('candidate', `${NEW} factory 300\n`);
    write('verdict', `${OTHER} factory not_welcomed\n`);
    expect(run()).toMatchObject(candidate);
    write('verdict', `${NEW} factory not_welcomed\n`);
    expect(run()).toMatchObject(current);
    expect(read('tries')).toBe(`${NEW} factory 1\n`);
  });

  it('counts the tries of a new candidate from one', () => {
    write('tries', `${OTHER} factory 3\n`);
    write('candidate', `${NEW} factory 300\n`);
    expect(run()).toMatchObject(candidate);
    expect(read('tries')).toBe(`${NEW} factory 1\n`);
  });

  it('does not try a candidate whose slot is not complete, or one that it cannot count', () => {
    write('current', `${OLD} factory\n`);
    write('candidate', `${OTHER} factory 300\n`);
    expect(run()).toMatchObject(current);
    expect(read('verdict')).toBe(`${OTHER} factory slot_incomplete\n`);
    remove('verdict');
    write('candidate', `${NEW} factory 300\n`);
    makeExecutable(join(root, 'steps/sync'), '#!/bin/sh\nexit 1\n');
    expect(run()).toMatchObject(current);
    expect(read('tries')).toBeUndefined();
  });

  it('runs every other command with the committed software, and counts nothing', () => {
    write('current', `${OLD} factory\n`);
    write('candidate', `${NEW} factory 300\n`);
    expect(run({}, 'status')).toMatchObject(current);
    expect(read('tries')).toBeUndefined();
  });

  it('ends a candidate that hangs, and returns to the slot before', async () => {
    write('current', `${OLD} factory\n`);
    write('candidate', `${NEW} factory 30\n`);
    writeFileSync(join(root, 'count'), '0');
    const hanging = spawn(launch, ['start'], {
      env: {
        PATH: `${join(root, 'steps')}:/usr/bin:/bin`,
        QUEUE_AGENT_SOFTWARE_FOLDER: join(root, 'software'),
        STEPS: join(root, 'count'),
        BEHAVE: 'trap "" TERM; while :; do /bin/sleep 1; done',
      },
      stdio: 'ignore',
    });
    const signal = await new Promise((done) => hanging.once('exit', (_code, how) => done(how)));
    expect(signal).toBe('SIGKILL');
    expect(read('verdict')).toBe(`${NEW} factory trial_expired\n`);
    expect(run()).toMatchObject(current);
  });

  it('leaves a candidate alone that was committed while the watchdog waited', async () => {
    write('candidate', `${NEW} factory 30\n`);
    expect(
      run({ BEHAVE: `echo "${NEW} factory" >${state('current')}; rm ${state('candidate')}; /bin/sleep 0.5` }),
    ).toMatchObject(candidate);
    expect(read('verdict')).toBeUndefined();
    expect(run()).toMatchObject({ slot: `current ${NEW} factory` });
  });
});

describe('kill -9 of the launcher', () => {
  const states: [string, () => void][] = [
    ['before the first try', () => write('candidate', `${NEW} factory 300\n`)],
    [
      'before the last try',
      () => {
        write('candidate', `${NEW} factory 300\n`);
        write('tries', `${NEW} factory 2\n`);
      },
    ],
    [
      'when the tries are used up',
      () => {
        write('candidate', `${NEW} factory 300\n`);
        write('tries', `${NEW} factory 3\n`);
      },
    ],
    ['when the slot is not complete', () => write('candidate', `${OTHER} factory 300\n`)],
  ];

  it.each(states)('at each of its steps leaves something that starts, and ends at current: %s', (_name, prepare) => {
    const restore = (): void => {
      remove('candidate', 'tries', 'verdict');
      write('current', `${OLD} factory\n`);
      prepare();
    };
    restore();
    run();
    const steps = Number(readFileSync(join(root, 'count'), 'utf8'));
    for (let at = 1; at <= steps; at++) {
      for (const when of ['before', 'after']) {
        restore();
        run({ KILL_AT: String(at), KILL_WHEN: when });
        const later = Array.from({ length: 5 }, () => run().slot);
        expect([candidate.slot, current.slot]).toContain(later[0]);
        expect(later.filter((slot) => slot === candidate.slot).length).toBeLessThanOrEqual(3);
        expect(later.at(-1)).toBe(current.slot);
        expect(read('verdict')).toMatch(/^[bc]{64} factory (?:tries_exhausted|slot_incomplete)\n$/);
      }
    }
    expect(steps).toBeGreaterThanOrEqual(3);
  });
});

describe('kill -9 of the agent', () => {
  /** One change of a file, as the contract in the launcher orders them: what is renamed into place is whole. */
  type Step = readonly [act: () => void, expected: { readonly slot: string }];

  /** The slot that is started after each step. */
  function walk(steps: readonly Step[]): { readonly found: readonly string[]; readonly expected: readonly string[] } {
    const found = steps.map(([act]) => {
      act();
      const tries = read('tries');
      const { slot } = run();
      // The start of this look does not count.
      if (tries === undefined) remove('tries');
      else write('tries', tries);
      return slot;
    });
    return { found, expected: steps.map(([, { slot }]) => slot) };
  }

  it('between any two steps of a trial that is committed leaves the slot that it should', () => {
    const committed = { slot: `current ${NEW} factory` };
    const { found, expected } = walk([
      [() => write('current', `${OLD} factory\n`), current],
      [() => write('verdict', `${NEW} factory not_welcomed\n`), current],
      [() => remove('verdict'), current],
      [() => remove('tries'), current],
      [() => write('candidate.new', `${NEW} fac`), current],
      [() => write('candidate', `${NEW} factory 300\n`), candidate],
      [() => write('tries', `${NEW} factory 1\n`), candidate],
      [() => write('current', `${NEW} factory\n`), committed],
      [() => remove('candidate'), committed],
      [() => remove('tries'), committed],
    ]);
    expect(found).toEqual(expected);
  });

  it('between any two steps of a trial that fails leaves the slot that it should', () => {
    const { found, expected } = walk([
      [() => write('current', `${OLD} factory\n`), current],
      [() => write('candidate', `${NEW} factory 300\n`), candidate],
      [() => write('tries', `${NEW} factory 1\n`), candidate],
      [() => write('verdict', `${NEW} factory not_welcomed\n`), current],
      [() => remove('candidate'), current],
      [() => remove('tries'), current],
      [() => remove('verdict'), current],
    ]);
    expect(found).toEqual(expected);
  });
});
