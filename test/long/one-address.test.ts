// One address against all others, on a real Central: agents behind one NAT come in at once, and silent WebSockets keep
// no agent out.
import { createPrivateKey, randomBytes } from 'node:crypto';
import { Agent, request } from 'node:https';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { makeRequest } from '../../agent/enrollment/csr.ts';
import { AGENT_PATH, SUBPROTOCOL, type Challenge, type Hello } from '../../shared/wire/messages.ts';
import { helloTranscript, signTranscript } from '../../shared/wire/proof.ts';
import { CentralProcess, Cleanup, until } from '../flow/processes.ts';
import { newKey, type RawKey } from '../flow/raw-agent.ts';
import { inLanes } from '../garbage/garbage.ts';
import { metric } from '../reliability/traffic.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

interface Known {
  readonly id: string;
  readonly name: string;
  readonly key: RawKey;
}

/** Registers so many agents with one token. */
async function enrolled(central: CentralProcess, count: number): Promise<Known[]> {
  const { body } = await central.rest('POST', '/enrollment-tokens', { maxUses: count, lifetimeSeconds: 3600 });
  const ca = String((await central.rest('GET', '/ca/trust-bundle.pem')).body);
  const agent = new Agent({ keepAlive: true, ca });
  const found: Known[] = [];
  await inLanes(
    Array.from({ length: count }, (_, i) => `agent-${i}`),
    Array.from({ length: 8 }),
    async (name) => {
      const key = newKey();
      const csr = await makeRequest(
        {
          privateKey: createPrivateKey(key.privateKey.export({ format: 'pem', type: 'pkcs8' })),
          pem: '',
          publicKey: key.spki,
          thumbprint: key.thumbprint,
        },
        name,
      );
      const { id } = await post(agent, central.ports.wss, JSON.stringify({ csr: csr.pem, name, token: body.token }));
      found.push({ id, name, key });
    },
  );
  agent.destroy();
  return found;
}

function post(agent: Agent, port: number, body: string): Promise<{ id: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: 'localhost',
        port,
        path: '/enroll',
        method: 'POST',
        agent,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      },
      (answer) => {
        let text = '';
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
        answer.on('end', () =>
          answer.statusCode === 200
            ? resolve(JSON.parse(text) as { id: string })
            : reject(new Error(`${answer.statusCode}: ${text}`)),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

/** One dial, one hello: `welcome`, or why not. Tries nothing twice. */
function login(port: number, { id, name, key }: Known, options: { readonly stay: boolean }): Promise<string> {
  const webSocket = new WebSocket(`ws://127.0.0.1:${port}${AGENT_PATH}`, SUBPROTOCOL, { perMessageDeflate: false });
  if (options.stay) cleanup.add(() => webSocket.terminate());
  return new Promise((resolve) => {
    webSocket.on('error', (error) => resolve(error.message));
    webSocket.on('close', (code) => resolve(`closed ${code}`));
    webSocket.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as Challenge & { type: string; code?: string };
      if (frame.type === 'challenge') {
        const hello: Omit<Hello, 'signature'> = {
          type: 'hello',
          id,
          name,
          key: key.spki,
          version: 'raw',
          bootId: randomBytes(24).toString('base64url'),
          challenge: frame.nonce,
          nonce: randomBytes(24).toString('base64url'),
          transport: 'ws',
          binding: null,
          releases: { profile: null, runtime: null, program: null },
          capabilities: [],
          logs: { down: null },
        };
        webSocket.send(
          JSON.stringify({ ...hello, signature: signTranscript(helloTranscript(frame, hello), key.privateKey) }),
        );
        return;
      }
      resolve(frame.type === 'refuse' ? `refused ${frame.code}` : frame.type);
      if (!options.stay) webSocket.close();
    });
  });
}

function countOf(answers: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const answer of answers) counts[answer] = (counts[answer] ?? 0) + 1;
  return counts;
}

describe('one address', () => {
  it('2,000 agents behind one NAT connect, all at once, and none is refused', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const agents = await enrolled(central, 2_000);
    expect((await central.change({ 'agents.welcomeTimeoutSeconds': 120 })).status).toBe(200);
    const answers = await Promise.all(agents.map((agent) => login(central.ports.ws, agent, { stay: true })));
    expect(countOf(answers)).toEqual({ welcome: 2_000 });
    await until(async () => (await metric(central, 'queuegate_sessions')) >= 2_000 || undefined);
  });

  it('with all the silent WebSockets that it can hold keeps no agent of another address out', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    expect((await central.change({ 'agents.max': 100 })).status).toBe(200);
    const [honest] = await enrolled(central, 1);
    if (honest === undefined) throw new Error('no agent');
    let [open, opened, going] = [0, 0, true];
    // As many as come in, again and again: 100 are always on their way or silent; there are 50 places.
    const attack = async (): Promise<void> => {
      while (going) {
        const silent = new WebSocket(`ws://127.0.0.1:${central.ports.ws}${AGENT_PATH}`, SUBPROTOCOL, {
          localAddress: '127.0.0.2',
        });
        await new Promise<void>((resolve) => {
          silent
            .on('error', () => undefined)
            .on('open', () => {
              open += 1;
              opened += 1;
            });
          silent.on('close', () => {
            open -= 1;
            resolve();
          });
          cleanup.add(() => silent.terminate());
        });
      }
    };
    const lanes = Array.from({ length: 100 }, attack);
    await until(() => opened >= 300 || undefined);
    const answers: string[] = [];
    for (let i = 0; i < 40; i += 1) answers.push(await login(central.ports.ws, honest, { stay: false }));
    expect(countOf(answers)).toEqual({ welcome: 40 });
    expect([opened > 300, open > 0]).toEqual([true, true]);
    const { body } = await central.rest('GET', '/handshake-failures?listener=ws&address=127.0.0.2');
    expect((body.items as { cause: string }[]).map(({ cause }) => cause)).toContain('place_given_up');
    going = false;
    await central.stop();
    await Promise.all(lanes);
  });
});
