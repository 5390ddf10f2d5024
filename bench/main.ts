// npm run bench: measures Queuegate beside its peers, interleaved round by round, and says what came out.
//   --quick            a smoke test of some two minutes: counts are checked, figures mean little
//   --only a,b         of: up, down, latency, crowd, filled, backlog, list, fleet, daemon, services; by name only: nodes,
//                      or one of its parts: nodes-events, nodes-reconnect, nodes-fleet
//   --json FILE        writes the whole report there too
//   --against FOLDER   another checkout of the product as the only peer ("before"): what a change brings, as a ratio
//   --profile FOLDER   CPU profiles of Central into this folder (bench/profile.ts reads them); Queuegate alone, 20 agents;
//                      with --only, since every start of Central leaves profiles there
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { compareWithGoals } from './bars.ts';
import { backlog } from './cells/backlog.ts';
import { crowd, crowdAgents } from './cells/crowd.ts';
import { daemon } from './cells/daemon.ts';
import { filledStore } from './cells/filled.ts';
import { commandAndAnswer, eventAndAck } from './cells/latency.ts';
import { fleet } from './cells/fleet.ts';
import { agentList } from './cells/list.ts';
import { nodes, nodesAgents, NODES_PARTS } from './cells/nodes/nodes.ts';
import { services } from './cells/services.ts';
import { commandsDown, eventsUp } from './cells/throughput.ts';
import { makeCredentials } from './credentials.ts';
import { endLeftovers, startGuard } from './guard.ts';
import { Installation } from './installation.ts';
import { describeMachine } from './machine.ts';
import { aedesPeer } from './peers/aedes.ts';
import { natsPeers } from './peers/nats.ts';
import { queuegatePeer } from './peers/queuegate.ts';
import { rawPeer, syncedRawPeer } from './peers/raw.ts';
import { FULL, QUICK } from './plan.ts';
import { markdown, type Report } from './report.ts';
import { OURS, type Check, type Outcome, type Series } from './result.ts';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    json: { type: 'string' },
    against: { type: 'string' },
    profile: { type: 'string' },
  },
});
const plan = values.quick ? QUICK : FULL;
const only = values.only?.split(',');
// By name only: the others would begin with a store of so many agents.
const BY_NAME: ReadonlySet<string> = new Set(NODES_PARTS);
const wanted = (cell: string): boolean =>
  only === undefined ? !BY_NAME.has(cell) : only.includes(cell) || (BY_NAME.has(cell) && only.includes('nodes'));
const profileFolder = values.profile === undefined ? undefined : resolve(values.profile);

// All that a peer leaves is in one folder, which goes when the bench ends, however it ends. Its processes go with it
// (bench/guard.ts).
const folder = mkdtempSync(join(tmpdir(), 'queuegate-bench-'));
for (const name of ['TMPDIR', 'TEMP']) process.env[name] = folder;
process.once('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
startGuard(folder);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const startedAt = performance.now();
const say = (text: string): void => console.error(`[${Math.round((performance.now() - startedAt) / 1000)} s] ${text}`);

const machine = describeMachine();
const credentials = await makeCredentials();
say('building the product');
const installation = await Installation.build();
const ours = queuegatePeer(installation);
const raw = rawPeer(credentials, wsVersion());
const others = [...natsPeers(credentials), aedesPeer(credentials)];
const leftOut = others.filter((peer) => typeof peer === 'string');
const before = values.against === undefined ? undefined : await Installation.build(resolve(values.against));
const peers =
  profileFolder !== undefined
    ? [ours]
    : before !== undefined
      ? [ours, queuegatePeer(before, 'before')]
      : [ours, raw, ...others.filter((peer) => typeof peer !== 'string')];
// What is not measured beside a broker, and what only Central does.
const near = peers.slice(0, 2);
const own = before === undefined ? [ours] : [ours, queuegatePeer(before, 'before')];
const answering = peers.includes(raw) ? [...peers, syncedRawPeer(credentials, wsVersion())] : peers;
for (const text of leftOut) say(`LEFT OUT: ${text}`);

const series: Series[] = [];
const checks: Check[] = [];
const failed: string[] = [];

function report(): Report {
  return {
    at: new Date().toISOString(),
    plan: plan.name,
    machine,
    peers: answering.map(({ name, version, durability }) => ({ name, version, durability })),
    leftOut: [...leftOut, ...failed.map((text) => `not measured, since it failed: ${text}`)],
    series,
    checks,
    bars: compareWithGoals(series),
  };
}

async function cell(name: string, what: string, run: () => Promise<Outcome>): Promise<void> {
  if (!wanted(name)) return;
  say(what);
  try {
    const outcome = await run();
    series.push(...outcome.series);
    checks.push(...outcome.checks);
  } catch (error) {
    // What was measured before is worth its table; the run fails all the same.
    failed.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    say(`FAILED: ${failed.at(-1)}`);
  }
  const left = await endLeftovers();
  if (left > 0) say(`${left} processes were left by "${what}" and are ended`);
  // After each, so that an interrupted run leaves what it has.
  if (values.json === undefined) return;
  mkdirSync(dirname(resolve(values.json)), { recursive: true });
  writeFileSync(values.json, `${JSON.stringify(report(), null, 2)}\n`);
}

try {
  const sizes = profileFolder === undefined ? plan.agents : [20];
  const needed = Math.max(
    ...sizes,
    wanted('up') ? plan.manyAgents : 0,
    wanted('crowd') ? crowdAgents(plan) : 0,
    wanted('backlog') ? plan.backlogAgents + 1 : 0,
    wanted('fleet') ? plan.fleet : 0,
    ...NODES_PARTS.map((part) => (wanted(part) ? nodesAgents(part, plan) : 0)),
  );
  await installation.enroll(needed);
  await before?.enroll(needed);
  say('agents are enrolled');
  for (const agents of sizes)
    await cell('up', `events up, ${agents}`, () => eventsUp(peers, plan, agents, { profileFolder }));
  await cell('up', `events up, ${plan.manyAgents}`, () => eventsUp(near, plan, plan.manyAgents, { profileFolder }));
  for (const agents of sizes)
    await cell('down', `commands down, ${agents}`, () => commandsDown(peers, plan, agents, { profileFolder }));
  await cell('latency', 'command and answer', () => commandAndAnswer(answering, plan, { profileFolder }));
  await cell('latency', 'event and acknowledgement', () => eventAndAck(near, plan));
  await cell('crowd', 'reconnect and memory', () => crowd(near, plan, { profileFolder }));
  await cell('filled', 'a store that has filled up', () => filledStore(own, plan));
  await cell('backlog', 'agents with a backlog', () => backlog(own, plan));
  await cell('list', 'the list of agents', () => agentList(own, plan));
  await cell('fleet', 'a fleet that is online', () => fleet(own, plan, needed));
  await cell('daemon', 'the agent daemon', () => daemon(installation, ours, plan));
  for (const part of NODES_PARTS)
    await cell(part, `several Centrals on PostgreSQL: ${part}`, () => nodes(part, installation, plan, needed));
  await cell('services', 'a service through Central', () => services(installation, ours, credentials, plan));
} finally {
  await installation.remove();
  await before?.remove();
}

console.log(markdown(report()));
say('done');
// What a peer loses or brings late on a loaded machine is in the report; it is not our fault.
const wrong = checks.filter(({ peer, expected, found }) => peer === OURS && expected !== found);
if (wrong.length > 0) {
  console.error(`${wrong.length} counts are wrong: something acknowledged is missing, or there twice.`);
}
if (wrong.length > 0 || failed.length > 0) process.exitCode = 1;

function wsVersion(): string {
  const stated: unknown = createRequire(import.meta.url)('ws/package.json');
  return typeof stated === 'object' && stated !== null && 'version' in stated ? String(stated.version) : 'unknown';
}
