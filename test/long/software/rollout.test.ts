// Software of agents that is rolled out by a real Central: imported, tried, kept, left where it is broken, and rolled
// back, while Central is killed at each step of it; in real time.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { agentFlags, agentFolders, CentralProcess, Cleanup, runNode, until } from '../../flow/processes.ts';
import { BranchMachine, programArchive } from './branch-machine.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const MINUTES = 60_000;

async function enrolled(central: CentralProcess, name: string): Promise<BranchMachine> {
  const folders = await agentFolders(cleanup);
  const ended = await runNode('agent/cli.ts', [...(await central.enrollment()), ...agentFlags(folders, name)]);
  expect(ended, ended.stderr).toMatchObject({ code: 0 });
  const environment = { QUEUE_AGENT_AGENT_NAME: name };
  const machine = await BranchMachine.install(cleanup, folders, { isFast: false, environment });
  machine.serve();
  return machine;
}

it(
  'goes to agents in waves, stays where it works, leaves where it is broken, and is rolled back, whenever Central is killed',
  { timeout: 10 * MINUTES },
  async () => {
    const folder = await cleanup.folder();
    let central = await CentralProcess.startOnParameters(cleanup, folder);
    const names = ['branch-1', 'branch-2'];
    const machines: BranchMachine[] = [];
    for (const name of names) machines.push(await enrolled(central, name));
    for (const name of names) await central.online(name);

    const typed = async (line: string, code = 0): Promise<string> => {
      const ended = await central.cli(...line.split(' '));
      expect(ended, `${line}\n${ended.stdout}\n${ended.stderr}`).toMatchObject({ code });
      return ended.stdout;
    };
    /** Imports a version; NAME@PREFIX. */
    const imported = async (version: string, cli?: string): Promise<string> => {
      const file = join(folder, `${version}.qgs`);
      await writeFile(file, programArchive({ version, isFast: false, ...(cli === undefined ? {} : { cli }) }));
      const { release } = JSON.parse(await typed(`software import ${file} --json`)) as { release: string };
      return release;
    };
    /** What each machine has committed, as its launcher reads it. */
    const run = (): unknown => machines.map((machine) => machine.stateFile('current')?.slice(0, 8));
    const prefixOf = (release: string): string => release.slice(-8);

    /** Kills Central; `state`: once an agent of the rollout is in it. */
    const killed = async (rollout?: string, state?: string): Promise<void> => {
      await until(async () => {
        if (rollout === undefined) return true;
        const { body } = await central.rest('GET', `/rollouts/${rollout}/agents?state=${state}`);
        return body.items.length > 0 ? true : undefined;
      }, MINUTES);
      central = await central.killed(cleanup);
    };

    const first = await imported('0.0.2');
    await killed();
    await typed(`software upgrade ${first} --agents branch-1 --agents branch-2 --waves 1,100% --trial 2m`);
    await killed();
    await killed('r-1', 'trying');
    expect(await typed('rollouts show r-1 --wait=5m')).toContain('2 succeeded');
    expect(run()).toEqual([prefixOf(first), prefixOf(first)]);

    const broken = await imported('0.0.3', 'throw new Error("broken");\n');
    await typed(`software upgrade ${broken} --agents branch-1 --agents branch-2 --waves 1,100% --trial 1m`);
    await killed();
    expect(await typed('rollouts show r-2 --wait=3m', 1)).toMatch(/state +halted/);
    // Which of the two is the first wave, their ids decide.
    expect(await typed('rollouts show r-2 --agents --state rolled-back')).toMatch(/branch-[12] +rolled-back/);
    await typed('rollouts cancel r-2 --yes');
    expect(run()).toEqual([prefixOf(first), prefixOf(first)]);

    const second = await imported('0.0.4');
    await typed(`software upgrade ${second} --agents branch-1 --trial 2m`);
    expect(await typed('rollouts show r-3 --wait=4m')).toContain('1 succeeded');
    expect(await typed(`software delete ${second} --yes`, 7)).toBe('');
    await typed('rollouts rollback r-3 --yes');
    await killed('r-3', 'trying');
    expect(await typed('rollouts show r-3 --wait=4m')).toContain('1 rolled back');
    expect(run()).toEqual([prefixOf(first), prefixOf(first)]);
    // Started once more for each change, and three times in vain.
    expect(machines.flatMap(({ ends }) => ends.filter((end) => end !== '0'))).toEqual(['1', '1', '1']);
  },
);
