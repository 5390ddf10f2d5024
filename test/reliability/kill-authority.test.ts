// Central killed before each commit of a rotation's switch, of its retirement and of a renewal, with a real agent:
// after each restart the phase is the one before or behind, the agent comes back, and the step can be repeated.
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup, ROOT, until, type Answer } from '../flow/processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** More commits than any of these steps has. */
const MOST_COMMITS = 30;
const NAME = 'branch-1';

interface Shown {
  readonly state: string;
  readonly certificate: { readonly thumbprint: string; readonly issuerThumbprint: string };
}

class Site {
  readonly #folder: string;
  readonly #killFile: string;
  /** What the last look showed, for people. */
  #looked: unknown;
  central: CentralProcess;
  agent: AgentProcess;

  private constructor(folder: string, killFile: string, central: CentralProcess, agent: AgentProcess) {
    this.#folder = folder;
    this.#killFile = killFile;
    this.central = central;
    this.agent = agent;
  }

  static async open(): Promise<Site> {
    const folder = await cleanup.folder();
    const killFile = join(await cleanup.folder(), 'commits');
    const central = await Site.#start(folder, killFile);
    const agent = await AgentProcess.enrolled(cleanup, central, NAME);
    await central.online(NAME);
    return new Site(folder, killFile, central, agent);
  }

  static async #start(folder: string, killFile: string): Promise<CentralProcess> {
    return await CentralProcess.startOnParameters(cleanup, folder, [], {
      NODE_OPTIONS: `--import=${pathToFileURL(join(ROOT, 'test/reliability/kill-at-commit.ts')).href}`,
      TEST_KILL_FILE: killFile,
    });
  }

  async step(name: string): Promise<Answer> {
    return await this.central.rest('POST', `/ca/rotation/${name}`);
  }

  async done(name: string): Promise<void> {
    const { status, body } = await this.step(name);
    if (status !== 200) throw new Error(`${name}: ${JSON.stringify(body)}`);
  }

  /** The next commits end Central before the one with this number. */
  async arm(commit: number): Promise<void> {
    await writeFile(this.#killFile, String(commit));
  }

  /** False: the commit came, and Central ends. */
  async disarm(): Promise<boolean> {
    return await rm(this.#killFile).then(
      () => true,
      () => false,
    );
  }

  /** Starts a Central that was killed. */
  async restart(): Promise<void> {
    const { signal, stderr } = await this.central.process.ended();
    if (signal !== 'SIGKILL' || stderr !== '') throw new Error(`Central ended by itself (${signal}):\n${stderr}`);
    this.central = await Site.#start(this.#folder, this.#killFile);
  }

  async shown(): Promise<Shown> {
    return (await this.central.agent(NAME)) as unknown as Shown;
  }

  async rotation(): Promise<{ phase: string; trust: { acknowledgedCount: number } }> {
    return (await this.central.rest('GET', '/ca/rotation')).body;
  }

  /** The agent has acknowledged the roots of the present phase, and has a certificate of the authority that signs. */
  async settled(): Promise<void> {
    const explain = (): string => `${JSON.stringify(this.#looked)}\n${this.agent.process.stdout.slice(-3000)}`;
    await until(async () => ((await this.ready()) ? true : undefined), undefined, explain);
    if (!this.agent.process.running) throw new Error(explain());
  }

  async ready(): Promise<boolean> {
    const { body } = await this.central.rest('GET', '/ca/rotation');
    const { generations } = (await this.central.rest('GET', '/ca')).body;
    const current = generations.find(({ role }: { role: string }) => role === 'current')?.thumbprint;
    const { certificate, state } = await this.shown();
    if (state !== 'online') {
      // An agent whose Central was killed several times waits longer and longer; a file that was touched makes it dial
      // at once.
      await utimes(join(this.agent.folders.profile, 'conf', 'agent.local.conf'), new Date(), new Date());
    }
    this.#looked = { phase: body.phase, trust: body.trust, current, certificate, state };
    return state === 'online' && body.trust.acknowledgedCount === 1 && certificate.issuerThumbprint === current;
  }

  async thumbprintAtAgent(): Promise<string> {
    const file = join(this.agent.folders.data, 'identity.json');
    const { certificate } = JSON.parse(await readFile(file, 'utf8')) as { certificate: string };
    return new X509Certificate(certificate).fingerprint256.replaceAll(':', '').toLowerCase();
  }

  async incidents(): Promise<unknown[]> {
    return (await this.central.rest('GET', '/incidents')).body.items;
  }

  /**
   * A client that has one root only verifies what Central shows: each root of the bundle, before a switch the old one.
   */
  async shownToEachRoot(): Promise<void> {
    const pem = String((await this.central.rest('GET', '/ca/trust-bundle.pem')).body);
    const roots = pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [];
    const { phase } = await this.rotation();
    for (const ca of phase === 'published' ? roots.slice(0, 1) : roots) {
      const socket = connect({ port: this.central.ports.wss, host: '127.0.0.1', servername: 'localhost', ca });
      await once(socket, 'secureConnect');
      socket.destroy();
    }
  }
}

/** Kills Central before the first, second, ... commit of a step, until the step has none left; how often. */
async function killedInEachCommit(
  site: Site,
  step: string,
  { before, behind }: { readonly before: string; readonly behind: string },
): Promise<string[]> {
  const phases: string[] = [];
  for (let commit = 1; commit <= MOST_COMMITS; commit += 1) {
    await site.settled();
    await site.arm(commit);
    const answered = await site.step(step).then(
      ({ status }) => status,
      () => 'cut',
    );
    if (await site.disarm()) {
      if (answered !== 200 || (await site.rotation()).phase !== behind) throw new Error(`${step}: ${answered}`);
      return phases;
    }
    await site.restart();
    const { phase } = await site.rotation();
    expect([before, behind]).toContain(phase);
    // What was answered has been done.
    if (answered === 200 && phase !== behind) throw new Error(`${step} was answered, and the phase is ${phase}`);
    phases.push(phase);
    await site.shownToEachRoot();
    await site.settled();
    if (phase === behind) await site.done('rollback?force=true');
  }
  throw new Error(`${step} has more than ${MOST_COMMITS} commits`);
}

describe('kill -9 of Central before each commit', () => {
  it('of a switch and of a retirement leaves the phase before or behind, an agent that comes back, and a step that can be repeated', async () => {
    const site = await Site.open();
    await site.done('prepare');
    await site.done('publish');
    const switched = await killedInEachCommit(site, 'switch', { before: 'published', behind: 'switched' });
    const retired = await killedInEachCommit(site, 'retire?force=true', { before: 'switched', behind: 'retired' });
    console.info(JSON.stringify({ switched, retired }));
    // A kill was before the commit that decides, and one behind it.
    expect(new Set(switched)).toEqual(new Set(['published', 'switched']));
    expect(new Set(retired)).toEqual(new Set(['switched', 'retired']));
    await site.settled();
    expect(await site.incidents()).toEqual([]);
    const { body } = await site.central.rest('GET', '/ca/rotation');
    expect(body.trust).toMatchObject({ registeredCount: 1, acknowledgedCount: 1 });
    expect((await site.central.rest('GET', '/status')).body.problems).toEqual([]);
  }, 300_000);

  it('of a renewal leaves an agent with a certificate of its key, on both sides the same, and no incident', async () => {
    const site = await Site.open();
    await site.done('prepare');
    await site.done('publish');
    let kills = 0;
    for (let commit = 1; commit <= MOST_COMMITS; commit += 1) {
      await site.settled();
      const { phase } = await site.rotation();
      // Another authority signs now: the agent is asked to renew.
      await site.done(phase === 'published' ? 'switch' : 'rollback?force=true');
      await site.arm(commit);
      await until(async () => {
        if (!site.central.process.running) return true;
        // A request that the kill cut off.
        return await site.ready().catch(() => undefined);
      });
      const killed = !(await site.disarm());
      if (killed) {
        kills += 1;
        await site.restart();
        await site.settled();
      }
      // The agent writes the next one before it connects with it.
      await until(async () =>
        (await site.shown()).certificate.thumbprint === (await site.thumbprintAtAgent()) ? true : undefined,
      );
      expect(await site.incidents()).toEqual([]);
      if (!killed) break;
    }
    console.info(JSON.stringify({ kills }));
    expect(kills).toBeGreaterThan(1);
  }, 300_000);
});
