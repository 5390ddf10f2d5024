// The agent's daemon as it runs on a branch PC: how fast it is online, what it holds, and how much several send with a
// disk of their own.
import { readFile } from 'node:fs/promises';
import { request, Agent } from 'node:http';
import { join } from 'node:path';
import type { Installation } from '../installation.ts';
import type { QueuegatePeer, RunningQueuegate } from '../peers/queuegate.ts';
import { memoryOf, pause, type Program } from '../process.ts';
import type { Plan } from '../plan.ts';
import { enrollAgent, startAgent, type AgentFolder } from '../real-agent.ts';
import { OURS, type Outcome } from '../result.ts';
import { messageJson, sourceOf } from '../sample.ts';

const IDLE_MS = 3_000;
/** Until the outboxes have filled. */
const WARM_MS = 500;
const BATCH = 100;
/** Requests under way at each daemon's local API. */
const REQUESTS = 2;

export async function daemon(installation: Installation, peer: QueuegatePeer, plan: Plan): Promise<Outcome> {
  const running = await peer.start();
  const started: Program[] = [];
  try {
    const folders = await Promise.all(
      Array.from({ length: plan.daemons }, (_, i) => enrollAgent(installation, running, `daemon-${i}`)),
    );
    const [first] = folders;
    if (first === undefined) throw new Error('no daemon');
    const onlineMs: number[] = [];
    const resident: number[] = [];
    const own: number[] = [];
    for (let round = 0; round < plan.daemonStarts; round += 1) {
      const { program, ms } = await startAgent(installation, first);
      onlineMs.push(ms);
      // The figure of the last start, when everything has settled.
      if (round === plan.daemonStarts - 1) await pause(IDLE_MS);
      const memory = await memoryOf(program.pid);
      resident.push(mebibytes(memory?.resident));
      own.push(mebibytes(memory?.own));
      await program.stop();
    }
    for (const folder of folders) started.push((await startAgent(installation, folder)).program);
    const rates: number[] = [];
    for (let round = 0; round < plan.rounds; round += 1) rates.push(await sendFromDaemons(running, folders, plan));
    return {
      series: [
        {
          measure: 'agent daemon: start to online',
          size: '1 daemon',
          unit: 'ms',
          better: 'less',
          samples: { [OURS]: onlineMs },
        },
        {
          measure: 'agent daemon: memory in RAM',
          size: '1 daemon',
          unit: 'MiB',
          better: 'less',
          samples: { [OURS]: resident },
        },
        {
          measure: 'agent daemon: of that its own, not shared with other Node.js programs',
          size: '1 daemon',
          unit: 'MiB',
          better: 'less',
          samples: { [OURS]: own },
        },
        {
          measure: 'events up from real daemons, on disk at both ends',
          size: `${plan.daemons} daemons`,
          unit: 'messages/s',
          better: 'more',
          samples: { [OURS]: rates },
        },
      ],
      checks: [],
    };
  } finally {
    for (const program of started) await program.stop();
    await running.stop();
  }
}

/** NaN where the system does not tell. */
function mebibytes(bytes: number | undefined): number {
  return (bytes ?? Number.NaN) / 1024 / 1024;
}

/** Local programs post to every daemon; what counts is what Central has committed. */
async function sendFromDaemons(
  { central }: RunningQueuegate,
  folders: readonly AgentFolder[],
  plan: Plan,
): Promise<number> {
  const agent = new Agent({ keepAlive: true });
  const run = Math.random().toString(36).slice(2, 8).padEnd(6, '0');
  let on = true;
  const sending = folders.flatMap((folder, i) =>
    Array.from({ length: REQUESTS }, async (_, lane) => {
      const { url, token } = JSON.parse(await readFile(join(folder.data, 'local-api.json'), 'utf8')) as {
        url: string;
        token: string;
      };
      let number = lane;
      while (on) {
        const batch = Array.from({ length: BATCH }, () => messageJson(sourceOf(i), run, (number += REQUESTS)));
        // 503: the outbox is full, since Central is slower than the local programs; then they wait.
        while (on && (await post(agent, `${url}/api/v1/events`, token, `[${batch.join(',')}]`)) === 503) await pause(5);
      }
    }),
  );
  await pause(WARM_MS);
  const [before, startedAt] = [await received(central), performance.now()];
  await pause(plan.burstMs);
  const rate = (((await received(central)) - before) * 1000) / (performance.now() - startedAt);
  on = false;
  await Promise.all(sending);
  agent.destroy();
  return rate;
}

async function received(central: RunningQueuegate['central']): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${central.ports.http}/metrics`, {
    headers: { authorization: `Bearer ${central.token}` },
  });
  return Number(/^queuegate_messages_received_total (\d+)/m.exec(await answer.text())?.[1] ?? 0);
}

function post(agent: Agent, url: string, token: string, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    };
    const sent = request(url, { method: 'POST', agent, headers }, (answer) => {
      answer.resume();
      answer.on('end', () =>
        answer.statusCode === 202 || answer.statusCode === 503
          ? resolve(answer.statusCode)
          : reject(new Error(`the local API answered ${answer.statusCode}`)),
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
