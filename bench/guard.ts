// Ends what the bench started when the bench is gone, however it ended: an interrupted run, a failed cell or SIGKILL
// must leave no server and no load process behind. The bench reports each process as it starts and ends
// (`watchProcess`); this process of its own ends the rest when the line to the bench breaks.
import { fork, type ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

interface Report {
  readonly pid: number;
  readonly running: boolean;
}

const SELF = fileURLToPath(import.meta.url);
/** What runs at present. */
const live = new Set<ChildProcess>();
let guard: ChildProcess | undefined;

/** Starts the guard. `folder` is removed when the bench cannot do it itself. */
export function startGuard(folder: string): void {
  // Detached: an interrupt of the terminal reaches the bench, and not what has to clean up after it.
  guard = fork(SELF, [folder], { detached: true, execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  guard.unref();
  guard.channel?.unref();
}

/** To be called with each process right after its start. */
export function watchProcess(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined) return;
  const send = (running: boolean): void => void guard?.send({ pid, running } satisfies Report);
  send(true);
  live.add(child);
  child.once('exit', () => {
    live.delete(child);
    send(false);
  });
}

/** Ends what a cell has left behind; how many processes that were. */
export async function endLeftovers(): Promise<number> {
  const left = [...live];
  await Promise.all(
    left.map(async (child) => {
      const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      child.kill('SIGKILL');
      await exited;
    }),
  );
  return left.length;
}

function guardProcesses(folder: string): void {
  const pids = new Set<number>();
  process.on('message', ({ pid, running }: Report) => void (running ? pids.add(pid) : pids.delete(pid)));
  process.once('disconnect', () => {
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    process.exit();
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
}

const [, script, folder] = process.argv;
if (script === SELF && folder !== undefined && process.send !== undefined) guardProcesses(folder);
