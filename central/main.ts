#!/usr/bin/env node
// Starts Central and prints what an operator needs: what listens where and how encrypted, the first administrator's
// token (once), and how to enroll an agent; secrets are shown on a terminal only. Stops Central on SIGTERM and SIGINT,
// and when the store can no longer write; starts it again in the same process to restore a backup.
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Logger } from 'pino';
import { isCoded, printable, textOf } from '../shared/errors.ts';
import { watchForOrphaning } from '../shared/orphan.ts';
import { changedSettings } from '../shared/settings/settings.ts';
import { stopSignal } from '../shared/signals.ts';
import { replaceSecretFile } from '../shared/files/secret-file.ts';
import { openLog, type Log } from '../shared/terminal/log.ts';
import { printFault, printOut, printsToTerminal, releaseInput } from '../shared/terminal/standard-streams.ts';
import { shellWord } from '../shared/terminal/escape.ts';
import { VERSION } from '../shared/version.ts';
import { startCentral } from './central.ts';
import { AUDIT_HEAD_FILE } from './composition/audit-verification.ts';
import type { FirstStart } from './composition/first-start.ts';
import { centralHelp, readCommand } from './composition/command-line.ts';
import { createAdministratorToken } from './composition/administrator-token.ts';
import { migrateStore } from './composition/migrate-store.ts';
import type { RunningCentral } from './composition/lifecycle.ts';
import {
  ADMINISTRATOR_TOKEN_FILE,
  DEFAULT_DATA_FOLDER,
  FIRST_ENROLLMENT_FILE,
  loadCentralConfig,
  type CentralConfig,
} from './config.ts';
import { boundGarbage } from './heap.ts';
import { problemText } from './problems.ts';
import type { RestoreOutcome, StagedRestore } from './store/backup/backup.ts';
import type { Replacement } from './store/backup/store-files.ts';
import { openStoreFiles } from './store/open-store.ts';

/** Longer than an orderly stop takes; then the process exits in any case. What was acknowledged is on disk. */
const STOP_WITHIN_MS = 15_000;
/** An installed package puts its commands on PATH. */
const FROM_SOURCES = import.meta.url.endsWith('.ts');
const QUEUEGATE = FROM_SOURCES ? 'npm run -s queuegate --' : 'queuegate';

async function main(): Promise<number> {
  const { command, argv } = readCommand(process.argv.slice(2));
  if (command === 'help' || command === 'version') {
    printOut(command === 'help' ? centralHelp() : `${VERSION}\n`);
    return 0;
  }
  releaseInput();
  const request = { argv, environment: { ...process.env } };
  const config = await loadCentralConfig(request);
  if (command === 'create-administrator-token') {
    const { file, isRunning } = await createAdministratorToken(config);
    const start = isRunning ? '' : 'Start Central; ';
    printOut(`A new administrator's token is in ${file} (mode 0600). ${start}"queuegate" on this host uses it.\n`);
    return 0;
  }
  if (command === 'migrate-store') {
    await migrateStore(config, (line) => printOut(`${line}\n`));
    return 0;
  }
  // The Central agent inherits the environment: it must see neither Central's settings nor secrets.
  for (const name of Object.keys(process.env))
    if (/^QUEUEGATE_|^QUEUE_AGENT_TOKEN$|^CREDENTIALS_DIRECTORY$/i.test(name)) delete process.env[name];
  const opened = openLog(config.logLevel, () => ({ central: config.centralName }));
  const { log } = opened;
  for (const warning of config.warnings) log.warn(warning);
  const signal = Promise.race([
    stopSignal(() => reload(request, config, log)),
    new Promise<'signal'>((resolve) => watchForOrphaning(process.env, () => resolve('signal'))),
  ]);
  let restored: Restored | undefined;
  for (;;) {
    const central = await startOrUndo(config, opened, restored);
    opened.print(await banner(config, central));
    await central.firstStart?.finish();
    boundGarbage();
    const ended = await Promise.race([signal, central.failed, central.restore]);
    if (ended !== 'signal' && 'audit' in ended) {
      restored = await restoreStore(config, log, central, ended);
      continue;
    }
    setTimeout(() => process.exit(1), STOP_WITHIN_MS).unref();
    if (ended !== 'signal') printFault(`${printable(ended)}\n`);
    await central.stop();
    return ended === 'signal' ? 0 : 1;
  }
}

/** Applies log.level; names the other settings that changed, which are read at a start only. */
async function reload(
  request: Parameters<typeof loadCentralConfig>[0],
  started: CentralConfig,
  log: Logger,
): Promise<void> {
  try {
    const { settings, logLevel } = await loadCentralConfig(request);
    log.level = logLevel;
    const needsRestart = changedSettings(started.settings, settings).filter((name) => name !== 'log.level');
    log.info({ logLevel, needsRestart }, 'the configuration was read again');
  } catch (error) {
    log.error(
      { error: textOf(error) },
      'the configuration could not be read again; Central continues with the previous one',
    );
  }
}

interface Restored {
  readonly outcome: RestoreOutcome;
  /** Absent where nothing was replaced. */
  readonly replacement?: Replacement;
}

/**
 * A restored store was validated before; if Central nevertheless does not start with it, the previous one is restored.
 */
async function startOrUndo(config: CentralConfig, log: Log, restored: Restored | undefined): Promise<RunningCentral> {
  try {
    return await startCentral(config, log, restored?.outcome ?? null);
  } catch (error) {
    if (restored?.replacement === undefined) throw error;
    log.log.error(
      { error: textOf(error) },
      'Central does not start with the restored store; the previous one is put back',
    );
    await restored.replacement.rollBack();
    return await startCentral(config, log, {
      ...restored.outcome,
      failure: `Central does not start with it: ${textOf(error)}`,
    });
  }
}

async function restoreStore(
  config: CentralConfig,
  log: Logger,
  central: RunningCentral,
  staged: StagedRestore,
): Promise<Restored> {
  log.warn(
    { created: staged.facts.created, from: staged.facts.central },
    'a backup is restored: Central ends its sessions and starts again',
  );
  await central.stop();
  try {
    // The log of the backup ends earlier; its own last entry names the restore.
    await rm(join(config.dataFolder, AUDIT_HEAD_FILE), { force: true });
    const replaced = await openStoreFiles(config.dataFolder).replace(staged, central.lastCursor());
    log.warn({ before: replaced.before }, 'the backup is in place; the store before it is kept');
    return { replacement: replaced, outcome: { backup: staged.facts, failure: null } };
  } catch (error) {
    log.error(
      { error: textOf(error) },
      'the backup could not be put in place; Central continues with the store that it had',
    );
    return { outcome: { backup: staged.facts, failure: `it could not be put in place: ${textOf(error)}` } };
  }
}

async function banner(config: CentralConfig, central: RunningCentral): Promise<string> {
  const folder =
    config.dataFolder === resolve(DEFAULT_DATA_FOLDER) ? '' : `QUEUEGATE_DATA_FOLDER=${shellWord(config.dataFolder)} `;
  return [
    '',
    `Queuegate Central ${VERSION} "${config.centralName}" is ready.`,
    '',
    ...central.listens.map((line) => `  ${line}`),
    ...central.problems.map((problem) => `  PROBLEM: ${problemText(problem)}`),
    '',
    ...(central.firstStart === undefined ? [] : await firstSecrets(config, central.firstStart)),
    `  Enroll an agent: ${folder}${QUEUEGATE} enrollment-tokens create`,
    `  Administration: ${folder}${QUEUEGATE} status`,
    '',
    '',
  ].join('\n');
}

/**
 * What the first start of a data folder creates: the administrator's token, and a token that enrolls one agent. They
 * are shown on a terminal only. Any other output is a log that is kept and collected: it names the files.
 */
async function firstSecrets(config: CentralConfig, first: FirstStart): Promise<string[]> {
  const file = join(config.dataFolder, ADMINISTRATOR_TOKEN_FILE);
  const { token, line } = await first.enrollment();
  const shown = printsToTerminal();
  const tokenLines = shown
    ? [
        `  First administrator's token (shown this once; kept in ${file}, mode 0600):`,
        `    ${first.administratorToken}`,
        '',
      ]
    : [`  First administrator's token: in ${file}, mode 0600`, ''];
  return [
    ...tokenLines,
    ...(shown
      ? [
          '  To enroll an agent within the next 30 minutes, run on its machine:',
          `    ${line}`,
          ...(FROM_SOURCES ? ['  (in a clone of this repository: npm run -s queue-agent -- enroll ...)'] : []),
          '',
        ]
      : await enrollmentByFile(config, token, line)),
  ];
}

async function enrollmentByFile(config: CentralConfig, token: string, line: string): Promise<string[]> {
  const file = join(config.dataFolder, FIRST_ENROLLMENT_FILE);
  try {
    await replaceSecretFile(file, Buffer.from(`${token}\n`));
  } catch (error) {
    // Central runs nevertheless, and one command creates another token.
    return [`  PROBLEM: there is no enrollment token: ${textOf(error)}`, ''];
  }
  return [
    `  To enroll an agent within the next 30 minutes, copy ${file} (mode 0600) to its machine, and run there:`,
    `    ${line.replace(`--token ${token}`, () => `--token-file ${shellWord(file)}`)}`,
    '',
  ];
}

let exitCode = 1;
try {
  exitCode = await main();
} catch (error) {
  printFault(
    `${isCoded(error) ? printable(error) : `error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`}\n`,
  );
}
// Whatever still listens or waits: a start that failed must not stay, or nothing would start it again.
process.exit(exitCode);
