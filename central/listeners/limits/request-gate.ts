// Takes requests from Node's HTTP server to Fastify: one request of a connection at a time, each in its turn; few more
// wait behind it; a rate for each block of addresses; and responses that have to be read in time. Node itself parses,
// and answers, all that has come at once, and keeps every answer until it is read: 64 KiB of small requests would hold
// 2,000 responses.
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { addressBlock } from '../../auth/address-rules.ts';
import type { Place } from '../../auth/places.ts';
import { sessionCookie } from '../../auth/sign-in/cookie.ts';
import type { CodedError } from '../../../shared/errors.ts';
import { watchParser } from '../../../shared/http/parser.ts';
import { httpFault } from '../errors.ts';
import { handshakeFault } from '../accept/handshake-faults.ts';
import { endWithProblem, problemText } from '../problem.ts';
import type { RequestRate } from './request-rate.ts';
import type { Turns } from './turns.ts';
import { SHARED_BYTES, SLICE_BYTES, slicesOf, type UnreadResponses } from './unread-responses.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route itself bounds its streams, and for whom it opens them. */
    boundsItself?: boolean;
  }
}

/** No client of today pipelines (RFC 9112 section 9.3.2 allows it); a script that does sends a few. */
const MAX_WAITING = 15;
/** A peer has to take a slice, or a whole small response, within this time: 3 KiB/s. */
const READ_MS = 20_000;

export interface RequestGateOptions {
  readonly server: Server;
  /** These four are one for all ports. */
  readonly turns: Turns;
  readonly rate: Pick<RequestRate, 'fieldsOf' | 'take'>;
  readonly unread: UnreadResponses;
  /** Those to requests with a valid token: what strangers leave unread does not keep these out. */
  readonly unreadOfTokens: UnreadResponses;
  /** Who asks: behind a named proxy, the address that it forwards. */
  readonly addressOf: (request: IncomingMessage) => string;
  readonly placeOf: (socket: Socket) => Place | undefined;
  /** On the ports of the administration a request with a valid token has no bound on its rate. */
  readonly takesTokens: boolean;
  /** A connection was cut, or its request refused, before anyone looked at what it wants. */
  readonly onFailure: (fault: CodedError, address: string) => void;
  readonly readMs?: number;
}

interface Item {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly address: string;
  readonly block: string;
  /** It was let in without a cost, as one that may have a token, and has not proved it yet. */
  owesProof: boolean;
}

interface Line {
  readonly waiting: Item[];
  current: Item | undefined;
  /** Requests that Node has parsed in this turn of the event loop, also those that it answers itself. */
  parsed: number;
  /** Runs while the peer has a response to read. */
  reading: NodeJS.Timeout | undefined;
}

/** On a response; more would be a leak. */
const MAX_LISTENERS = 24;

export class RequestGate {
  readonly #options: RequestGateOptions;
  readonly #lines = new WeakMap<Socket, Line>();

  constructor(options: RequestGateOptions) {
    this.#options = options;
    // Behind Node's own listener, which has made the parser.
    options.server.on('connection', (socket: Socket) => this.#watch(socket));
  }

  /** For `request` of the server. */
  pass(handle: RequestListener): RequestListener {
    return (request, response) => {
      const line = this.#lineOf(request.socket);
      // Behind too many it is not even parsed; this is for a Node.js whose parser cannot be stopped.
      if (request.socket.destroyed || line.waiting.length >= MAX_WAITING) return this.#cutPipeline(request.socket);
      const address = this.#options.addressOf(request);
      line.waiting.push({ request, response, address, block: addressBlock(address), owesProof: false });
      if (line.current === undefined) this.#next(line, handle);
    };
  }

  /**
   * For `onSend` of an app: accounts for the response from here until it is read, and gives the body as it is to be
   * sent.
   */
  answer(request: FastifyRequest, reply: FastifyReply, payload: unknown): unknown {
    const line = this.#lines.get(request.raw.socket);
    if (line?.current === undefined) return payload;
    const { placeOf } = this.#options;
    const { response, block } = line.current;
    const isProved = this.#provedToken(request, reply);
    if (isProved) line.current.owesProof = false;
    const unread = isProved ? this.#options.unreadOfTokens : this.#options.unread;
    // A string is made for this response; a buffer is one that all responses share.
    // Many may have been asked for before the first of them was there.
    if (typeof payload === 'string' && payload.length > SLICE_BYTES && unread.isFull(block)) {
      const { fault, seconds } = this.#unreadFault();
      void reply.header('connection', 'close').header('retry-after', String(seconds));
      this.#options.onFailure(fault, line.current.address);
      return this.answer(request, reply, problemText(reply, fault));
    }
    const size =
      typeof payload === 'string'
        ? Buffer.byteLength(payload)
        : Buffer.isBuffer(payload)
          ? payload.length
          : payload instanceof Readable
            ? request.routeOptions.config.boundsItself === true
              ? 0
              : SHARED_BYTES
            : 0;
    const release = unread.hold(block, typeof payload === 'string' ? size : Math.min(size, SHARED_BYTES));
    response.once('close', release);
    placeOf(request.raw.socket)?.waits();
    this.#expectReading(line, request.raw.socket);
    if (size <= SLICE_BYTES || request.method === 'HEAD' || !(typeof payload === 'string' || Buffer.isBuffer(payload)))
      return payload;
    void reply.header('content-length', String(size));
    return slicesOf(typeof payload === 'string' ? Buffer.from(payload) : payload, (push) =>
      this.#options.turns.take(block, push),
    );
  }

  /** On a route that demands a token, what is answered otherwise than with 401 is answered to one that is valid. */
  #provedToken(request: FastifyRequest, reply: FastifyReply): boolean {
    const { role } = request.routeOptions.config;
    return this.#options.takesTokens && role !== undefined && role !== 'anyone' && reply.statusCode !== 401;
  }

  #watch(socket: Socket): void {
    const line = this.#lineOf(socket);
    socket.on('drain', () => line.reading?.refresh());
    socket.once('close', () => {
      clearTimeout(line.reading);
      line.waiting.length = 0;
    });
    watchParser(socket, (request) => {
      if (line.parsed === 0) setImmediate(() => (line.parsed = 0));
      line.parsed += 1;
      // An upgrade behind requests that are not answered yet would mix its frames with their answers.
      const isMixed = request.upgrade === true && line.current !== undefined;
      if (!socket.destroyed && !isMixed && line.parsed <= MAX_WAITING + 1 && line.waiting.length < MAX_WAITING)
        return true;
      this.#cutPipeline(socket);
      return false;
    });
  }

  #lineOf(socket: Socket): Line {
    let line = this.#lines.get(socket);
    if (line === undefined)
      this.#lines.set(socket, (line = { waiting: [], current: undefined, parsed: 0, reading: undefined }));
    return line;
  }

  #cutPipeline(socket: Socket): void {
    if (socket.destroyed) return;
    const item = this.#lines.get(socket)?.current;
    this.#options.onFailure(
      handshakeFault('too_many_pipelined', { most: MAX_WAITING + 1 }),
      item?.address ?? socket.remoteAddress ?? '',
    );
    socket.destroy();
  }

  #next(line: Line, handle: RequestListener): void {
    const item = line.waiting.shift();
    if (item === undefined) return;
    line.current = item;
    const { request, response, block } = item;
    // Each bound of a request has one: a stream has more than the ten of which Node warns.
    response.setMaxListeners(MAX_LISTENERS);
    response.once('close', () => {
      clearTimeout(line.reading);
      line.reading = undefined;
      line.current = undefined;
      // What follows a last answer is not looked at.
      if (request.socket.destroyed || request.socket.writableEnded) return;
      this.#options.placeOf(request.socket)?.waits();
      const costs = item.owesProof || response.statusCode === 401;
      if (costs && this.#options.rate.take(block) > 0) request.socket.destroy();
      else this.#next(line, handle);
    });
    this.#options.turns.take(block, () => {
      if (request.socket.destroyed) return;
      const refused = this.#refusalOf(item);
      if (refused === undefined) {
        this.#work(request);
        handle(request, response);
        return;
      }
      this.#options.onFailure(refused.fault, item.address);
      this.#expectReading(line, request.socket);
      endWithProblem(response, refused.fault, refused.seconds);
    });
  }

  /** While its body is awaited the peer keeps Central waiting, and not the reverse. */
  #work(request: IncomingMessage): void {
    const works = (): void => this.#options.placeOf(request.socket)?.works();
    const hasBody = 'content-length' in request.headers || 'transfer-encoding' in request.headers;
    if (request.complete || !hasBody) works();
    else request.once('end', works);
  }

  #refusalOf(item: Item): { readonly fault: CodedError; readonly seconds: number } | undefined {
    const { request, response, block } = item;
    const { rate, unread, unreadOfTokens, takesTokens } = this.#options;
    // Whether a token is valid is not known yet. One that is not costs afterwards (401), and so does any on a route
    // that asks for none.
    const mayHaveToken =
      takesTokens && (request.headers.authorization !== undefined || sessionCookie(request) !== undefined);
    if ((mayHaveToken ? unreadOfTokens : unread).isFull(block)) return this.#unreadFault();
    if (mayHaveToken) {
      item.owesProof = true;
      return undefined;
    }
    const seconds = rate.take(block);
    response.setHeaders(new Map(Object.entries(rate.fieldsOf(block))));
    return seconds === 0 ? undefined : { fault: httpFault('too_many_requests', { seconds }), seconds };
  }

  #unreadFault(): { readonly fault: CodedError; readonly seconds: number } {
    return { fault: httpFault('responses_unread', {}), seconds: READ_MS / 1000 };
  }

  /** Cuts a peer that takes nothing for so long; what Central itself is slow to give does not count. */
  #expectReading(line: Line, socket: Socket): void {
    const { readMs = READ_MS, onFailure } = this.#options;
    clearTimeout(line.reading);
    line.reading = setTimeout(() => {
      if (socket.writableLength === 0) return void line.reading?.refresh();
      onFailure(handshakeFault('response_unread', { seconds: readMs / 1000 }), line.current?.address ?? '');
      socket.destroy();
    }, readMs);
  }
}
