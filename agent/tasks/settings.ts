// Reads the handlers of tasks from the files of the configuration: the programs that Central may start on this host, as
// task.NAME.command and the keys beside it. They are not in the schema of conf.ts, since their names are the
// administrator's.
import { isAbsolute } from 'node:path';
import type { Properties } from '../../shared/settings/properties.ts';
import { ARGUMENT_MODES, MAX_ARGUMENT_LENGTH, MAX_ARGUMENTS, MAX_HANDLERS } from '../../shared/wire/tasks/frames.ts';
import { agentFault } from '../errors.ts';

export interface TaskHandler {
  readonly name: string;
  /** As it was written: absolute, or relative to the folder of the profile. */
  readonly command: string;
  /** `none` and `fixed`: no argument of the requester is taken; `list`: those behind the fixed ones. */
  readonly arguments: (typeof ARGUMENT_MODES)[number];
  readonly fixedArguments: readonly string[];
  /** Each argument of the requester matches it as a whole; null: any. */
  readonly argumentPattern: string | null;
  readonly timeoutSeconds: number;
  /** Between SIGTERM and SIGKILL. */
  readonly graceSeconds: number;
  /** So many tasks of this handler run at a time. */
  readonly concurrency: number;
  /** Of each channel; what is beyond it is dropped, and the task goes on. */
  readonly maxOutputBytes: number;
  /** What a stop of the agent means for a task. */
  readonly onRestart: 'continue' | 'kill';
  /** A task of which it is unknown whether it ran may run again. */
  readonly rerun: boolean;
  readonly environment: Readonly<Record<string, string>>;
}

const MIB = 1024 * 1024;
const YEAR_SECONDS = 366 * 86_400;
/** Defaults, with reasons in docs/TASKS.md. */
const DEFAULTS = {
  arguments: 'none',
  fixedArguments: [],
  argumentPattern: null,
  timeoutSeconds: 3600,
  graceSeconds: 10,
  concurrency: 1,
  maxOutputBytes: 8 * MIB,
  onRestart: 'continue',
  rerun: false,
} as const satisfies Omit<TaskHandler, 'command' | 'environment' | 'name'>;

const MAX_NAME_LENGTH = 64;
const MAX_VARIABLES = 64;
const MAX_VALUE_LENGTH = 4096;
const NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const KEY = /^task\.([^.]*)\.(?:environment\.(.*)|(\w+))$/s;
const VARIABLE = /^[A-Za-z_]\w{0,63}$/;
/** Of the agent itself. */
const OWN_VARIABLES = /^QUEUEGATE_/;

interface Found {
  readonly setting: string;
  readonly where: string;
  readonly text: string;
}

/** True for a key that belongs here, well-formed or not. */
export function isTaskKey(key: string): boolean {
  return key.startsWith('task.');
}

/**
 * The handlers of these files, the lowest file first: a key of a later one counts. Errors: task_setting_bad.
 */
export function readTaskHandlers(files: readonly Properties[]): TaskHandler[] {
  const found = new Map<string, Map<string, Found>>();
  for (const { file, entries } of files)
    for (const { key, value, line } of entries) {
      if (!isTaskKey(key)) continue;
      const [, name = '', variable, member] = KEY.exec(key) ?? [];
      const one: Found = { setting: key.slice(0, 128), where: `${file} line ${line}`, text: value };
      if (!NAME.test(name) || name.length > MAX_NAME_LENGTH)
        throw bad(
          one,
          'an unknown key',
          `task.NAME.KEY, with a NAME of 1 to ${MAX_NAME_LENGTH} small letters, digits and dashes`,
        );
      if (variable !== undefined) {
        if (!VARIABLE.test(variable) || OWN_VARIABLES.test(variable))
          throw bad(
            one,
            JSON.stringify(variable.slice(0, 64)),
            'the name of a variable of letters, digits and underscores that does not begin with QUEUEGATE_',
          );
      } else if (member === undefined || !(member in READERS))
        throw bad(one, 'an unknown key', [...Object.keys(READERS), 'environment.VARIABLE'].join(', '));
      const ofName = found.get(name) ?? new Map<string, Found>();
      found.set(name, ofName.set(variable === undefined ? (member ?? '') : `environment.${variable}`, one));
    }
  if (found.size > MAX_HANDLERS) {
    const last = [...found.values()].at(-1)?.values().next().value;
    if (last !== undefined) throw bad(last, `${found.size} handlers`, `at most ${MAX_HANDLERS}`);
  }
  return Array.from(found, ([name, keys]) => handlerOf(name, keys));
}

function handlerOf(name: string, keys: ReadonlyMap<string, Found>): TaskHandler {
  const [first] = keys.values();
  const where = first?.where ?? '';
  const command = keys.get('command');
  if (command === undefined)
    throw bad({ setting: `task.${name}.command`, where, text: '' }, 'nothing', 'the program of the handler');
  const values: Record<string, unknown> = {};
  const environment: Record<string, string> = {};
  for (const [key, one] of keys) {
    const read = READERS[key];
    if (read !== undefined) values[key] = read(one);
    else environment[key.slice('environment.'.length)] = valueOf(one);
  }
  if (Object.keys(environment).length > MAX_VARIABLES)
    throw bad(
      { setting: `task.${name}.environment`, where, text: '' },
      `${Object.keys(environment).length} variables`,
      `at most ${MAX_VARIABLES}`,
    );
  // Each member was read by its own reader.
  const handler = { ...DEFAULTS, ...values, name, environment } as unknown as TaskHandler;
  const mode = keys.get('arguments') ?? command;
  if (handler.arguments === 'fixed' && handler.fixedArguments.length === 0)
    throw bad(
      { ...mode, setting: `task.${name}.fixedArguments` },
      'nothing',
      'the arguments, as a JSON array of strings',
    );
  const pattern = keys.get('argumentPattern');
  if (pattern !== undefined && handler.arguments !== 'list')
    throw bad(pattern, `a pattern with arguments=${handler.arguments}`, `task.${name}.arguments=list beside it`);
  return handler;
}

/** By the last part of their key. */
const READERS: Readonly<Record<string, (found: Found) => unknown>> = {
  command(found) {
    const text = found.text.trim();
    if (text === '' || text.length > 1024 || text.includes('\0') || (!isAbsolute(text) && !text.includes('/')))
      throw bad(
        found,
        JSON.stringify(text.slice(0, 64)),
        'an absolute path, or one in the folder of the profile such as files/backup.sh; arguments are in fixedArguments',
      );
    return text;
  },
  arguments: (found) => oneOf(found, ARGUMENT_MODES),
  fixedArguments(found) {
    const allowed = `a JSON array of at most ${MAX_ARGUMENTS} strings, such as ["--full", "/srv"]`;
    let list: unknown;
    try {
      list = JSON.parse(found.text);
    } catch {
      throw bad(found, JSON.stringify(found.text.slice(0, 64)), allowed);
    }
    const isList =
      Array.isArray(list) &&
      list.length <= MAX_ARGUMENTS &&
      list.every((one) => typeof one === 'string' && one.length <= MAX_ARGUMENT_LENGTH && !one.includes('\0'));
    if (!isList) throw bad(found, JSON.stringify(found.text.slice(0, 64)), allowed);
    return list;
  },
  argumentPattern(found) {
    const allowed = 'a regular expression of at most 256 characters, which a whole argument matches';
    if (found.text === '' || found.text.length > 256) throw bad(found, `${found.text.length} characters`, allowed);
    try {
      return new RegExp(found.text, 'u').source;
    } catch (error) {
      throw bad(found, (error as Error).message, allowed);
    }
  },
  timeoutSeconds: (found) => integerOf(found, 1, YEAR_SECONDS),
  graceSeconds: (found) => integerOf(found, 0, 3600),
  concurrency: (found) => integerOf(found, 1, 64),
  maxOutputBytes: (found) => integerOf(found, 0, 1024 * MIB),
  onRestart: (found) => oneOf(found, ['continue', 'kill']),
  rerun: (found) => oneOf(found, ['true', 'false']) === 'true',
};

function valueOf(found: Found): string {
  if (found.text.length > MAX_VALUE_LENGTH || found.text.includes('\0'))
    throw bad(found, `${found.text.length} characters`, `at most ${MAX_VALUE_LENGTH} without a null character`);
  return found.text;
}

function oneOf<const T extends string>(found: Found, values: readonly T[]): T {
  const value = values.find((one) => one === found.text.trim());
  if (value === undefined) throw bad(found, JSON.stringify(found.text.slice(0, 64)), values.join(', '));
  return value;
}

function integerOf(found: Found, least: number, most: number): number {
  const text = found.text.trim();
  const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most))
    throw bad(found, JSON.stringify(text.slice(0, 64)), `an integer from ${least} to ${most}`);
  return value;
}

function bad({ setting, where }: Found, found: string, allowed: string): Error {
  return agentFault('task_setting_bad', { setting, where, found, allowed });
}
