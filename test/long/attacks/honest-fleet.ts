// A process of its own: agents that keep the protocol, each from an address of its own. They send an event and
// acknowledge commands all the while, and log in again from time to time; how long each acknowledgement took and every
// refusal are reported to the parent.
import { createPrivateKey, randomBytes, type KeyObject } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { linkOf } from '../../../shared/sqlite/logs/fingerprint.ts';
import { AGENT_PATH, SUBPROTOCOL, type Challenge, type Hello, type Position } from '../../../shared/wire/messages.ts';
import { channelBinding, helloTranscript, signTranscript } from '../../../shared/wire/proof.ts';

export interface FleetMember {
  readonly id: string;
  readonly name: string;
  readonly spki: string;
  /** PKCS#8, PEM. */
  readonly privateKey: string;
  /** Of loopback: where it dials from. */
  readonly address: string;
}

export interface FleetOrder {
  readonly url: string;
  readonly ca: string;
  readonly members: readonly FleetMember[];
  readonly eventEveryMs: number;
  readonly loginEveryMs: number;
}

export interface FleetReport {
  /** Since the last report, ms, in order of arrival. */
  readonly ackMs: number[];
  readonly logins: number;
  /** Refusals, and closes that this side did not ask for. */
  readonly refusals: string[];
  /** Per agent: the last number it sent, and the last that was acknowledged. */
  readonly sent: Readonly<Record<string, number>>;
  readonly acknowledged: Readonly<Record<string, number>>;
  /** Ids of the commands that each took, in order. */
  readonly commands: Readonly<Record<string, string[]>>;
}

class HonestAgent {
  readonly member: FleetMember;
  readonly commands: string[] = [];
  readonly ackMs: number[] = [];
  readonly refusals: string[] = [];
  logins = 0;
  sent = 0;
  acknowledged = 0;
  readonly #order: FleetOrder;
  readonly #key: KeyObject;
  readonly #incarnation = randomBytes(12).toString('hex');
  readonly #bootId = randomBytes(24).toString('base64url');
  /** What is not acknowledged, by number. */
  readonly #waiting = new Map<number, { readonly json: string; sentAt: number }>();
  #down: { incarnation: string; number: number; link: string } | undefined;
  #socket: WebSocket | undefined;
  #carrier: IncomingMessage['socket'] | undefined;
  #state: 'connecting' | 'online' | 'leaving' | 'stopped' = 'connecting';

  constructor(member: FleetMember, order: FleetOrder) {
    this.member = member;
    this.#order = order;
    this.#key = createPrivateKey(member.privateKey);
  }

  connect(): void {
    if (this.#state === 'stopped') return;
    this.#state = 'connecting';
    const socket = new WebSocket(`${this.#order.url}${AGENT_PATH}`, SUBPROTOCOL, {
      perMessageDeflate: false,
      ca: this.#order.ca,
      minVersion: 'TLSv1.3',
      localAddress: this.member.address,
    });
    this.#socket = socket;
    socket.on('upgrade', (response) => (this.#carrier = response.socket));
    socket.on('message', (data: Buffer) => this.#onFrame(data.toString('utf8')));
    socket.on('error', (error) => this.refusals.push(`error: ${error.message}`));
    socket.on('close', (code) => {
      if (this.#state === 'stopped') return;
      if (this.#state !== 'leaving') this.refusals.push(`closed: ${code}`);
      setTimeout(() => this.connect(), 100);
    });
  }

  /** One event, now or with the next session. */
  send(): void {
    this.sent += 1;
    const event = {
      specversion: '1.0',
      id: `${this.member.name}-${this.sent}`,
      source: `/agents/${this.member.name}`,
      type: 'tick',
      data: { n: this.sent },
    };
    const json = JSON.stringify(event);
    this.#waiting.set(this.sent, { json, sentAt: performance.now() });
    if (this.#state === 'online') this.#socket?.send(`{"type":"messages","first":${this.sent},"items":[${json}]}`);
  }

  logInAgain(): void {
    if (this.#state !== 'online') return;
    this.#state = 'leaving';
    this.#socket?.close(1000);
  }

  stop(): void {
    this.#state = 'stopped';
    this.#socket?.close(1000);
  }

  #onFrame(text: string): void {
    const frame = JSON.parse(text) as { readonly type: string } & Readonly<Record<string, unknown>>;
    if (frame.type === 'challenge') return this.#hello(frame as unknown as Challenge);
    if (frame.type === 'welcome') return this.#welcomed((frame['logs'] as { readonly up: Position | null }).up);
    if (frame.type === 'ack') return this.#acked(Number(frame['through']));
    if (frame.type === 'refuse')
      return void this.refusals.push(`refused: ${String(frame['code'])} ${String(frame['detail'])}`);
    if (frame.type === 'begin') {
      if (this.#down?.incarnation !== frame['incarnation'])
        this.#down = { incarnation: String(frame['incarnation']), number: 0, link: '' };
      return;
    }
    if (frame.type === 'messages' && this.#down !== undefined) {
      for (const item of frame['items'] as readonly { readonly id: string; readonly source: string }[]) {
        this.#down.number += 1;
        this.#down.link = linkOf(this.#down.link, item);
        this.commands.push(item.id);
      }
      this.#socket?.send(JSON.stringify({ type: 'ack', through: this.#down.number }));
    }
  }

  #hello(challenge: Challenge): void {
    const carrier = this.#carrier;
    const down = this.#down;
    const hello: Omit<Hello, 'signature'> = {
      type: 'hello',
      id: this.member.id,
      name: this.member.name,
      key: this.member.spki,
      version: 'raw',
      bootId: this.#bootId,
      challenge: challenge.nonce,
      nonce: randomBytes(24).toString('base64url'),
      transport: 'wss',
      binding: carrier instanceof TLSSocket ? (channelBinding(carrier) ?? null) : null,
      releases: { profile: null, runtime: null, program: null },
      capabilities: [],
      logs: {
        down:
          down === undefined || down.number === 0
            ? null
            : { incarnation: down.incarnation, number: down.number, id: down.link },
      },
    };
    this.#socket?.send(
      JSON.stringify({ ...hello, signature: signTranscript(helloTranscript(challenge, hello), this.#key) }),
    );
  }

  #welcomed(up: Position | null): void {
    this.logins += 1;
    const next = up?.incarnation === this.#incarnation ? up.number + 1 : 1;
    this.#acked(next - 1);
    this.#state = 'online';
    this.#socket?.send(JSON.stringify({ type: 'begin', incarnation: this.#incarnation, next, missing: null }));
    const items = Array.from({ length: this.sent - next + 1 }, (_, index) => this.#waiting.get(next + index));
    const at = performance.now();
    // What waited for the login does not count as a slow acknowledgement.
    for (const item of items) if (item !== undefined) item.sentAt = at;
    if (items.length > 0)
      this.#socket?.send(`{"type":"messages","first":${next},"items":[${items.map((item) => item?.json).join(',')}]}`);
  }

  #acked(through: number): void {
    const at = performance.now();
    for (let number = this.acknowledged + 1; number <= through; number += 1) {
      const item = this.#waiting.get(number);
      if (item !== undefined) this.ackMs.push(at - item.sentAt);
      this.#waiting.delete(number);
    }
    this.acknowledged = Math.max(this.acknowledged, through);
  }
}

let agents: HonestAgent[] = [];
const timers: NodeJS.Timeout[] = [];

function report(): FleetReport {
  const byName = <T>(value: (agent: HonestAgent) => T): Record<string, T> =>
    Object.fromEntries(agents.map((agent) => [agent.member.name, value(agent)]));
  return {
    ackMs: agents.flatMap((agent) => agent.ackMs.splice(0)),
    logins: agents.reduce((sum, agent) => sum + agent.logins, 0),
    refusals: agents.flatMap((agent) => agent.refusals.map((refusal) => `${agent.member.name} ${refusal}`)),
    sent: byName((agent) => agent.sent),
    acknowledged: byName((agent) => agent.acknowledged),
    commands: byName((agent) => agent.commands),
  };
}

function start(order: FleetOrder): void {
  agents = order.members.map((member) => new HonestAgent(member, order));
  for (const agent of agents) agent.connect();
  let turn = 0;
  timers.push(
    setInterval(() => {
      turn += 1;
      agents[turn % agents.length]?.send();
    }, order.eventEveryMs / agents.length),
    setInterval(() => agents[Math.floor(Math.random() * agents.length)]?.logInAgain(), order.loginEveryMs),
  );
}

process.on(
  'message',
  (
    message: { readonly kind: 'start'; readonly order: FleetOrder } | { readonly kind: 'report' | 'silence' | 'stop' },
  ) => {
    if (message.kind === 'start') start(message.order);
    else if (message.kind === 'report') process.send?.(report());
    else {
      timers.splice(0).forEach(clearInterval);
      if (message.kind !== 'stop') return;
      for (const agent of agents) agent.stop();
      process.disconnect?.();
    }
  },
);
