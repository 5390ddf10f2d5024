// The supervisor of one task: a few lines of sh that outlive the agent. It writes who it is, claims the task, starts the
// program in a session and a cgroup of its own, keeps what it writes up to a bound, ends what it leaves behind, and
// writes its exit code into a file. No pipe leads to the agent, so that its death ends nothing.
import { spawn, type ChildProcess } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { taskFileText } from './files.ts';

/** In the folder of a task. */
export const FILES = {
  /** /proc/PID/stat of the supervisor, when it began. */
  supervisor: 'supervisor',
  /** A folder: who makes it decides whether the program is started. */
  claim: 'claim',
  /** Process group of the program. */
  pid: 'pid',
  exit: 'exit',
  work: 'work',
  /** The token of the task, and where the local API is. */
  localApi: 'local-api.json',
} as const;

/**
 * Arguments: the folder, the bytes to keep of each channel, the cgroup ('' for none), the program and its arguments.
 * `trap :` and not `trap ''`: what is ignored would be ignored by the program too. The readers ignore signals, so that
 * what the program writes as it ends is kept; their files are open before the program can put something else there. GNU's
 * head keeps up to 4 KiB to itself, which is not followed, and is lost when it is killed: stdbuf is of the same package.
 */
const SCRIPT = `
cd "$1" || exit 70
limit=$2 cgroup=$3
shift 3
unbuffered=
command -v stdbuf >/dev/null && unbuffered='stdbuf -o0'
trap : TERM INT HUP
read -r stat </proc/self/stat && printf '%s\\n' "$stat" >supervisor.new && mv supervisor.new supervisor || exit 70
mkdir claim || exit 70
mkfifo out err || exit 70
for channel in out err; do
  (trap '' TERM INT HUP; $unbuffered head -c "$limit"; cat >/dev/null; : >"$channel.done") >"std$channel" <"$channel" &
done
cd work || exit 70
setsid sh -c '[ -z "$1" ] || echo $$ >"$1/cgroup.procs" || exit 126
echo $$ >../pid; shift; exec "$@"' sh "$cgroup" "$@" >../out 2>../err </dev/null
code=$?
cd ..
if [ -n "$cgroup" ]; then echo 1 >"$cgroup/cgroup.kill"; else kill -KILL -- "-$(cat pid)"; fi 2>/dev/null
tries=0
until [ -e out.done ] && [ -e err.done ] || [ $tries -ge 60 ]; do
  tries=$((tries + 1))
  if [ $tries -le 20 ]; then sleep 0.02; else sleep 0.1; fi
done
printf '%s\\n' "$code" >exit.new && mv exit.new exit
[ -e out.done ] && [ -e err.done ] || kill -KILL 0
`;

interface SupervisorOrder {
  /** Of the task. */
  readonly folder: string;
  readonly maxOutputBytes: number;
  readonly cgroup: string | null;
  readonly command: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** Starts it in a session of its own. It has none of the agent's descriptors. */
export function startSupervisor(order: SupervisorOrder): ChildProcess {
  const { folder, maxOutputBytes, cgroup, command, environment } = order;
  // One byte more shows that there was more.
  const words = [folder, String(maxOutputBytes + 1), cgroup ?? '', command, ...order.arguments];
  return spawn('/bin/sh', ['-c', SCRIPT, 'queue-agent-task', ...words], {
    cwd: folder,
    env: { ...environment },
    detached: true,
    stdio: 'ignore',
  });
}

/** The exit code of the program; undefined: there is none yet. */
export async function exitCodeIn(folder: string, account?: number): Promise<number | undefined> {
  const text = await taskFileText(join(folder, FILES.exit), account);
  return /^\d{1,3}\n$/.test(text) ? Number(text) & 0xff : undefined;
}

/** True while the supervisor of this folder runs, in this boot. */
export async function isSupervised(folder: string): Promise<boolean> {
  const began = await taskFileText(join(folder, FILES.supervisor));
  const pid = /^(\d+) /.exec(began)?.[1];
  if (pid === undefined) return false;
  const present = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return startTimeOf(began) !== undefined && startTimeOf(began) === startTimeOf(present) && !isZombie(present);
}

/** True when no program was started and none will be: the supervisor finds the task claimed. */
export async function isUnclaimed(folder: string, claim: () => Promise<unknown>): Promise<boolean> {
  const found = await stat(folder).catch(() => undefined);
  if (found === undefined) return false;
  return await claim().then(
    () => true,
    () => false,
  );
}

/** Sends a signal to the process group of the program, while its supervisor runs. */
export async function signalProgram(folder: string, signal: NodeJS.Signals): Promise<void> {
  const text = await taskFileText(join(folder, FILES.pid));
  const pid = /^(\d+)\n$/.exec(text)?.[1];
  if (pid === undefined || Number(pid) <= 1) return;
  try {
    process.kill(-Number(pid), signal);
  } catch {
    // It has just ended.
  }
}

/** Field 22 of proc(5); the name of the program, in parentheses, may have blanks. */
function startTimeOf(line: string): string | undefined {
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return fields[19];
}

function isZombie(line: string): boolean {
  return line.slice(line.lastIndexOf(')') + 2).startsWith('Z');
}
