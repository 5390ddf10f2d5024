// A real agent of the bench: enrolled with its own folders, and started as the daemon that runs on a branch PC.
import { spawnSync } from 'node:child_process';
import { appendFile, cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Installation } from './installation.ts';
import type { RunningQueuegate } from './peers/queuegate.ts';
import { Program } from './process.ts';

export interface AgentFolder {
  readonly name: string;
  readonly profile: string;
  readonly data: string;
}

/** `settings`: lines for its agent.conf. */
export async function enrollAgent(
  installation: Installation,
  { central }: RunningQueuegate,
  name: string,
  settings: readonly string[] = [],
): Promise<AgentFolder> {
  const folder: AgentFolder = {
    name,
    profile: join(installation.folder, name, 'profile'),
    data: join(installation.folder, name, 'data'),
  };
  await cp(installation.profile, folder.profile, { recursive: true });
  await mkdir(folder.data, { recursive: true });
  const { commandLine } = (await central.rest('POST', '/enrollment-tokens', {})) as { commandLine: string };
  const [, ...words] = commandLine.split(' ');
  const enrolled = spawnSync(process.execPath, [installation.agentCli, ...words, ...flags(folder)], {
    encoding: 'utf8',
  });
  if (enrolled.status !== 0) throw new Error(`enrollment failed:\n${enrolled.stdout}\n${enrolled.stderr}`);
  await appendFile(join(folder.profile, 'conf/agent.conf'), ['', ...settings, ''].join('\n'));
  return folder;
}

/** The program, and how long it took until it was online. */
export async function startAgent(
  installation: Installation,
  folder: AgentFolder,
): Promise<{ program: Program; ms: number }> {
  const startedAt = performance.now();
  const program = new Program(process.execPath, [installation.agentCli, 'start', ...flags(folder)]);
  await program.printed(/"msg":"online"/);
  return { program, ms: performance.now() - startedAt };
}

function flags({ name, profile, data }: AgentFolder): string[] {
  return ['--profile', profile, '--data-folder', data, '--agent-name', name, '--local-api-port', '0'];
}
