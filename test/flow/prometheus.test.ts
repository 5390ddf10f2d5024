// A real Prometheus reads the metrics of a real Central with the example of deploy/: over HTTPS, with the token of a
// viewer from a file.
import { readFile, writeFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { lacksPeer } from './false-hosts.ts';
import { AgentProcess, CentralProcess, Cleanup, freePorts, ROOT, Running, until } from './processes.ts';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

interface Found {
  readonly data?: { readonly result: readonly { readonly value: readonly [number, string] }[] };
}

describe.skipIf(lacksPeer('prometheus', 'promtool'))('Prometheus', () => {
  it('reads the metrics of Central, which promtool finds right, and evaluates the alerts', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    await AgentProcess.enrolled(cleanup, central, 'branch-1');
    await central.online('branch-1');
    const folder = await cleanup.folder();
    const made = await central.cli(
      'api-tokens',
      'create',
      '--name',
      'prometheus',
      '--role',
      'viewer',
      '--out',
      join(folder, 'queuegate-token'),
    );
    expect(made).toMatchObject({ code: 0 });
    expect(await central.cli('ca', 'trust-bundle', '--out', join(folder, 'queuegate-root.pem'))).toMatchObject({
      code: 0,
    });
    const example = await readFile(join(ROOT, 'deploy/prometheus/prometheus.yml'), 'utf8');
    await writeFile(join(folder, 'alerts.yml'), await readFile(join(ROOT, 'deploy/prometheus/alerts.yml')));
    const config = join(folder, 'prometheus.yml');
    await writeFile(
      config,
      example
        .replaceAll('/etc/prometheus', folder)
        .replace('central.example.com:8443', `localhost:${central.ports.https}`)
        .replace('scrape_interval: 15s', 'scrape_interval: 1s\n    scrape_timeout: 1s'),
    );
    const [port = 0] = await freePorts(1);
    const flags = [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ];
    const prometheus = new Running('prometheus', flags);
    cleanup.add(() => prometheus.stop());
    const ask = async (path: string): Promise<Found | undefined> => {
      if (!prometheus.running) throw new Error(`prometheus ended:\n${prometheus.stderr}`);
      const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`).catch(() => undefined);
      return answer?.ok === true ? ((await answer.json()) as Found) : undefined;
    };
    const value = async (query: string): Promise<string | undefined> =>
      (await ask(`query?query=${encodeURIComponent(query)}`))?.data?.result[0]?.value[1];
    await until(async () => (await value('up{job="queuegate"}')) === '1' || undefined);
    await until(async () => (await value('queuegate_agents{state="online"}')) === '1' || undefined);
    await until(async () => Number(await value('queuegate_commit_seconds_count')) > 0 || undefined);
    expect(Number(await value('queuegate_store_bytes'))).toBeGreaterThan(0);
    expect(Number(await value('nodejs_eventloop_lag_p99_seconds'))).toBeGreaterThan(0);
    expect(Number(await value('process_resident_memory_bytes'))).toBeGreaterThan(0);
    expect(JSON.stringify(await ask('rules'))).toContain('QueuegateAgentsLost');

    const answer = await fetch(`http://127.0.0.1:${central.ports.http}/metrics`, {
      headers: { authorization: `Bearer ${central.token}` },
    });
    const checked = spawnSync('promtool', ['check', 'metrics'], { input: await answer.text(), encoding: 'utf8' });
    expect([checked.status, checked.stderr]).toEqual([0, '']);
  });
});
