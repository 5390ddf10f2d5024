// What Central records of handshakes that came to nothing, each provoked by the program that would do it in the field.
import { connect } from 'node:net';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { trustFile } from '../../agent/trust/managed-roots.ts';
import { lacksPeer, OpensslAuthority } from './false-hosts.ts';
import { agentFlags, agentFolders, AgentProcess, CentralProcess, Cleanup, run, runNode, until } from './processes.ts';
import { newKey, RawAgent } from './raw-agent.ts';

/** Short, so that a test sees it pass. */
const WELCOME_SECONDS = 2;

const cleanup = new Cleanup();
const lasting = new Cleanup();
let central: CentralProcess;
beforeAll(async () => {
  central = await CentralProcess.start(lasting, await lasting.folder());
  await central.change({ 'agents.welcomeTimeoutSeconds': WELCOME_SECONDS });
});
afterEach(() => cleanup.run());
afterAll(() => lasting.run());

interface Failure {
  readonly listener: string;
  readonly cause: string;
  readonly address: string;
  readonly count: number;
  readonly detail: string;
  readonly hint: string;
  readonly lastAt: string;
}

async function countOf(listener: string, cause: string): Promise<number> {
  const { body } = await central.rest('GET', `/handshake-failures?listener=${listener}&cause=${cause}`);
  return (body.items as Failure[]).reduce((sum, { count }) => sum + count, 0);
}

/** Does `act`, and waits for one more failure of this cause. */
async function recorded(listener: string, cause: string, act: () => unknown): Promise<Failure> {
  const before = await countOf(listener, cause);
  await act();
  await until(
    async () => ((await countOf(listener, cause)) > before ? true : undefined),
    10_000,
    () => `no ${cause} at ${listener}`,
  );
  expect(await countOf(listener, cause)).toBe(before + 1);
  const { body } = await central.rest('GET', `/handshake-failures?listener=${listener}&cause=${cause}`);
  const [failure] = body.items as Failure[];
  if (failure === undefined) throw new Error('no failure');
  return failure;
}

/** What every entry tells: from where, and what to do. */
const REPORTED = {
  address: expect.stringMatching(/^(127\.0\.0\.1|::1)$/) as unknown,
  detail: expect.stringMatching(/\S/) as unknown,
  hint: expect.stringMatching(/\S/) as unknown,
};

async function client(...more: string[]): Promise<void> {
  await run('openssl', ['s_client', '-connect', `localhost:${central.ports.wss}`, ...more]);
}

async function say(port: number, bytes: string): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.end(bytes, 'latin1');
  socket.resume();
  await once(socket, 'close');
}

describe('TLS that fails', () => {
  it.skipIf(lacksPeer('openssl'))('openssl that does not trust the authority', async () => {
    const stranger = await OpensslAuthority.make(cleanup, 'Stranger Root');
    expect(
      await recorded(
        'wss',
        'peer_unknown_authority',
        async () => await client('-CAfile', stranger.root.certificate, '-verify_return_error'),
      ),
    ).toMatchObject(REPORTED);
  });

  it.skipIf(lacksPeer('openssl'))('openssl with TLS 1.1, and with a cipher of old', async () => {
    expect(
      await recorded('wss', 'peer_old_protocol', async () => await client('-tls1_1', '-cipher', 'DEFAULT@SECLEVEL=0')),
    ).toMatchObject(REPORTED);
    expect(
      await recorded(
        'wss',
        'peer_no_common_cipher',
        async () => await client('-tls1_2', '-cipher', 'AES128-SHA@SECLEVEL=0'),
      ),
    ).toMatchObject(REPORTED);
  });

  it('an agent whose truststore does not hold the root', async () => {
    const agent = await AgentProcess.enrolled(cleanup, central, 'distrustful');
    await central.online('distrustful');
    await agent.stop();
    await rm(trustFile(agent.folders.data));
    const failure = await recorded('wss', 'peer_left_in_tls', async () => {
      const again = AgentProcess.start(cleanup, agent.folders, 'distrustful', [
        '--truststore',
        join(import.meta.dirname, '../fixtures/keystores/truststore.jks'),
      ]);
      await until(async () =>
        (await again.local('GET', '/api/v1/status').catch(() => undefined))?.body.connection.stateReason?.code ===
        'tls_unknown_authority'
          ? true
          : undefined,
      );
      await again.stop();
    });
    expect(failure.hint).toContain('queue-agent doctor');
  });

  it('a peer that hangs up in the handshake, and one that never ends it', async () => {
    expect(
      await recorded(
        'wss',
        'peer_left_in_tls',
        async () => await say(central.ports.wss, '\u0016\u0003\u0001\u0002\u0000\u0001\u0000'),
      ),
    ).toMatchObject(REPORTED);
    const silent = connect(central.ports.wss, '127.0.0.1');
    cleanup.add(() => void silent.destroy());
    silent.on('error', () => undefined);
    expect((await recorded('wss', 'handshake_timeout', () => undefined)).detail).toBe(
      'The handshake timed out after 2 s: no data arrived.',
    );
  });
});

describe('the wrong protocol', () => {
  it('plain on the TLS port, and TLS on the ws port', async () => {
    expect(
      await recorded('wss', 'plain_on_tls', async () => await fetch(`http://127.0.0.1:${central.ports.wss}/`)),
    ).toMatchObject(REPORTED);
    expect(
      await recorded(
        'ws',
        'tls_on_plain',
        async () => await fetch(`https://127.0.0.1:${central.ports.ws}/`).catch(() => undefined),
      ),
    ).toMatchObject(REPORTED);
    expect(
      await recorded('https', 'plain_on_tls', async () => await fetch(`http://127.0.0.1:${central.ports.https}/`)),
    ).toMatchObject(REPORTED);
  });

  it('no HTTP, and HTTP that is not an agent', async () => {
    expect(
      await recorded('ws', 'not_http', async () => await say(central.ports.ws, 'EHLO branch\r\n\r\n')),
    ).toMatchObject(REPORTED);
    expect(
      await recorded('ws', 'upgrade_required', async () => await fetch(`http://127.0.0.1:${central.ports.ws}/agent`)),
    ).toMatchObject(REPORTED);
  });
});

describe('an agent that is not let in', () => {
  it('is recorded with the code of its refusal', async () => {
    const failure = await recorded('ws', 'agent_unknown', async () => {
      const agent = await RawAgent.ws(cleanup, central);
      await agent.refused({ id: 'no-such', key: newKey(), name: 'no-such' });
    });
    expect(failure.detail).toContain('No agent with the id no-such');
  });

  it('is recorded when its token is unknown', async () => {
    const folders = await agentFolders(cleanup);
    const words = (await central.enrollment()).map((word) =>
      word.replace(/^qge_([0-9a-f]{16})_.*/, `qge_${'0'.repeat(16)}_${'x'.repeat(43)}`),
    );
    const failure = await recorded('wss', 'enrollment_refused', async () => {
      expect(await runNode('agent/cli.ts', [...words, ...agentFlags(folders, 'unknown-token')])).toMatchObject({
        code: 4,
        stderr: expect.stringContaining('(enrollment_refused_by_central)'),
      });
    });
    expect(failure.detail).toMatch(/\S/);
  });
});

it('an agent that enrolls and comes in, the doctor, a port check and a finished request are not failures', async () => {
  const total = async (): Promise<number> =>
    ((await central.rest('GET', '/handshake-failures')).body.items as Failure[]).reduce(
      (sum, { count }) => sum + count,
      0,
    );
  const before = await total();
  const agent = await AgentProcess.enrolled(cleanup, central, 'welcome');
  await central.online('welcome');
  expect((await runNode('agent/cli.ts', ['doctor', ...agentFlags(agent.folders, 'welcome')])).code).toBe(0);
  await say(central.ports.ws, '');
  await say(central.ports.wss, '');
  await fetch(`http://127.0.0.1:${central.ports.ws}/`);
  // One that is cut at the deadline: what began before it and was not settled would be reported by now.
  const silent = connect(central.ports.ws, '127.0.0.1').on('error', () => undefined);
  await once(silent, 'close');
  expect(await total()).toBe(before + 1);
});

it('queuegate shows them, with each hint once, and the metrics count them', async () => {
  await fetch(`http://127.0.0.1:${central.ports.wss}/`);
  const { code, stdout } = await central.cli('handshake-failures', 'list', '--cause', 'plain_on_tls');
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^LAST +COUNT +LISTENER +ADDRESS +CAUSE +WHAT HAPPENED\n.*Z +\d+ +(wss|https) +127\.0\.0\.1 +plain_on_tls +The peer did not speak TLS/,
  );
  expect(stdout.match(/plain_on_tls: Set central\.websocket\.secure=true/g)).toHaveLength(1);
  expect((await central.cli('handshake-failures', 'list', '--address', '192.0.2.1')).stdout).toMatch(
    /^No handshake failed since 20/,
  );
  const metrics = await fetch(`http://127.0.0.1:${central.ports.http}/metrics`, {
    headers: { authorization: `Bearer ${central.token}` },
  });
  expect(await metrics.text()).toMatch(/queuegate_handshake_failures_total\{listener="wss",cause="plain_on_tls"\} \d+/);
});
