// A service of a branch through Central and its agent, beside the service itself and beside a reverse proxy with TLS in
// front of it: what a call costs more, and how much passes.
import { createServer, type AddressInfo } from 'node:net';
import { Child } from '../child.ts';
import type { Credentials } from '../credentials.ts';
import { median, percentile } from '../figures.ts';
import type { Installation } from '../installation.ts';
import type { CallerLoad, Moved, ServiceTarget } from '../load/callers.ts';
import type { QueuegatePeer } from '../peers/queuegate.ts';
import type { Plan } from '../plan.ts';
import { processorMsOf } from '../process.ts';
import { enrollAgent, startAgent } from '../real-agent.ts';
import { OURS, type Check, type Outcome } from '../result.ts';
import type { ServiceServer } from '../servers/service.ts';

/** Those of a browser, and a few. */
const CALLERS = 8;
const DIRECT = 'direct, without TLS';
const PROXY = 'reverse proxy with TLS';
const MIB = 1024 * 1024;

interface Way {
  readonly name: string;
  readonly target: ServiceTarget;
  /** Its programs between caller and service. */
  readonly pids: readonly number[];
}

export async function services(
  installation: Installation,
  peer: QueuegatePeer,
  credentials: Credentials,
  plan: Plan,
): Promise<Outcome> {
  const service = new Child<ServiceServer>('servers/service.ts');
  const proxy = new Child<ServiceServer>('servers/service.ts');
  const load = new Child<CallerLoad>('load/callers.ts');
  const ends: (() => Promise<unknown>)[] = [() => service.stop(), () => proxy.stop(), () => load.stop()];
  try {
    const port = await service.call('listen');
    const running = await peer.start();
    ends.unshift(() => running.stop());
    const folder = await enrollAgent(installation, running, 'service-agent', [
      `service.bench.url = http://localhost:${port}`,
      'service.bench.methods = GET,POST',
    ]);
    const { program } = await startAgent(installation, folder);
    ends.unshift(() => program.stop());
    const listenPort = await freePort();
    const allow = [{ address: '127.0.0.1', role: 'operator' }];
    await running.central.rest('POST', '/service-exposures', {
      agent: 'service-agent',
      service: 'bench',
      listenPort,
      allow,
    });
    const ways: Way[] = [
      { name: OURS, target: { port: listenPort, ca: running.target.ca }, pids: [running.pid, program.pid] },
      { name: DIRECT, target: { port }, pids: [] },
      {
        name: PROXY,
        target: { port: await proxy.call('proxy', credentials, port), ca: credentials.root },
        pids: [proxy.pid],
      },
    ];
    return await measure(ways, load, plan);
  } finally {
    for (const end of ends) await end();
  }
}

async function measure(ways: readonly Way[], load: Child<CallerLoad>, plan: Plan): Promise<Outcome> {
  const samples = new Map<string, Record<string, number[]>>();
  const note = (what: string, name: string, value: number): void => {
    const found = samples.get(what) ?? {};
    samples.set(what, found);
    (found[name] ??= []).push(value);
  };
  const checks = new Map<string, Check>();
  const each = plan.serviceBytes / CALLERS;
  for (let round = 0; round < plan.rounds; round += 1)
    for (const [turn] of ways.entries()) {
      const way = ways[(turn + round) % ways.length];
      if (way === undefined) continue;
      const { name, target, pids } = way;
      const taken = await load.call('smallRequests', target, plan.roundTrips);
      // The first ones pay for connections and for code that is not yet compiled.
      const steady = taken.slice(Math.floor(taken.length / 5));
      note('median', name, median(steady));
      note('p99', name, percentile(steady, 0.99));
      note('rate', name, await load.call('rate', target, CALLERS, plan.burstMs));
      for (const [what, callers, bytes] of [
        ['download', 1, plan.serviceBytes],
        ['download', CALLERS, each],
        ['upload', 1, plan.serviceBytes],
      ] as const) {
        const used = await processorMs(pids);
        const moved: Moved = await load.call(what, target, callers, bytes);
        note(`${what} ${callers}`, name, moved.bytes / MIB / (moved.ms / 1000));
        if (pids.length > 0 && callers === 1)
          note(`${what} processor`, name, ((await processorMs(pids)) - used) / (moved.bytes / MIB));
        const known = checks.get(`${name} ${what}`) ?? { peer: name, what: `bytes: ${what}`, expected: 0, found: 0 };
        const expected = known.expected + callers * bytes;
        checks.set(`${name} ${what}`, { ...known, expected, found: known.found + moved.bytes });
      }
    }
  const series = (what: string, measure: string, size: string, unit: string, better: 'more' | 'less') => ({
    measure: `service: ${measure}`,
    size,
    unit,
    better,
    samples: samples.get(what) ?? {},
  });
  const mib = `${plan.serviceBytes / MIB} MiB`;
  const callers = `${CALLERS} callers`;
  const between = 'processor time between caller and service';
  return {
    series: [
      series('median', 'small request, one at a time', 'median', 'ms', 'less'),
      series('p99', 'small request, one at a time', 'p99', 'ms', 'less'),
      series('rate', 'small requests', callers, 'requests/s', 'more'),
      series('download 1', 'download', `1 caller, ${mib}`, 'MiB/s', 'more'),
      series(`download ${CALLERS}`, 'download', `${callers}, ${mib}`, 'MiB/s', 'more'),
      series('upload 1', 'upload', `1 caller, ${mib}`, 'MiB/s', 'more'),
      series('download processor', `download: ${between}`, mib, 'ms/MiB', 'less'),
      series('upload processor', `upload: ${between}`, mib, 'ms/MiB', 'less'),
    ],
    checks: [...checks.values()],
  };
}

/** NaN where the system does not tell. */
async function processorMs(pids: readonly number[]): Promise<number> {
  const all = await Promise.all(pids.map(processorMsOf));
  return all.reduce<number>((sum, ms) => sum + (ms ?? Number.NaN), 0);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '::' }, resolve));
  // A TCP server that listens has an address with a port.
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}
