// A load process: callers of a service over http or https, each with a connection that it keeps.
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { serveCalls } from '../child.ts';

export interface ServiceTarget {
  readonly port: number;
  /** Absent: without TLS. */
  readonly ca?: string;
}

export interface CallerLoad {
  /** One small request after the other; the milliseconds of each. */
  smallRequests(target: ServiceTarget, count: number): Promise<number[]>;
  /** Small requests of so many callers; how many a second. */
  rate(target: ServiceTarget, callers: number, ms: number): Promise<number>;
  /** Of so many callers at once, each so many bytes; what arrived, and how long it took. */
  download(target: ServiceTarget, callers: number, bytes: number): Promise<Moved>;
  upload(target: ServiceTarget, callers: number, bytes: number): Promise<Moved>;
}

export interface Moved {
  readonly bytes: number;
  readonly ms: number;
}

const PIECE = Buffer.alloc(64 * 1024, 1);

/** A caller at the target; `end` closes its connection. */
function callerOf({ port, ca }: ServiceTarget) {
  const agent =
    ca === undefined
      ? new HttpAgent({ keepAlive: true, maxSockets: 1 })
      : new HttpsAgent({ keepAlive: true, maxSockets: 1, ca, servername: 'localhost' });
  const send = ca === undefined ? httpRequest : httpsRequest;
  const call = (path: string, upload?: number): Promise<{ text: string; bytes: number }> =>
    new Promise((resolve, reject) => {
      const method = upload === undefined ? 'GET' : 'POST';
      const headers = upload === undefined ? {} : { 'content-length': upload };
      const sent = send({ host: '127.0.0.1', port, path, method, headers, agent }, (answer) => {
        take(answer, upload !== undefined).then(resolve, reject);
      });
      sent.on('error', reject);
      let left = upload ?? 0;
      const more = (): void => {
        while (left > 0) {
          const piece = PIECE.subarray(0, left);
          left -= piece.length;
          if (!sent.write(piece)) return void sent.once('drain', more);
        }
        sent.end();
      };
      more();
    });
  return { call, end: () => agent.destroy() };
}

async function take(answer: IncomingMessage, keeps: boolean): Promise<{ text: string; bytes: number }> {
  if (answer.statusCode !== 200) throw new Error(`a service answered with ${answer.statusCode}`);
  let [text, bytes] = ['', 0];
  for await (const piece of answer as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (keeps) text += piece.toString();
  }
  return { text, bytes };
}

async function moved(target: ServiceTarget, callers: number, run: (call: Call) => Promise<number>): Promise<Moved> {
  const all = Array.from({ length: callers }, () => callerOf(target));
  // Connections, and code that is not yet compiled.
  await Promise.all(all.map(({ call }) => call('/small')));
  const startedAt = performance.now();
  const bytes = await Promise.all(all.map(({ call }) => run(call)));
  const ms = performance.now() - startedAt;
  for (const { end } of all) end();
  return { bytes: bytes.reduce((sum, one) => sum + one, 0), ms };
}

type Call = ReturnType<typeof callerOf>['call'];

serveCalls({
  async smallRequests(target, count) {
    const { call, end } = callerOf(target);
    const taken: number[] = [];
    for (let i = 0; i < count; i += 1) {
      const startedAt = performance.now();
      await call('/small');
      taken.push(performance.now() - startedAt);
    }
    end();
    return taken;
  },
  async rate(target, callers, ms) {
    const until = performance.now() + ms;
    let count = 0;
    const { ms: took } = await moved(target, callers, async (call) => {
      while (performance.now() < until) {
        await call('/small');
        count += 1;
      }
      return 0;
    });
    return (count * 1000) / took;
  },
  download: (target, callers, bytes) => moved(target, callers, async (call) => (await call(`/bytes/${bytes}`)).bytes),
  upload: (target, callers, bytes) =>
    moved(target, callers, async (call) => Number((await call('/upload', bytes)).text)),
} satisfies CallerLoad);
