// What the parts of the local API share: what the daemon does for local programs, one request with its authority, and
// what a route is.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Appended } from '../../shared/delivery/log-interfaces.ts';
import type { Message } from '../../shared/delivery/message.ts';
import type { JsonSchema } from '../../shared/wire/json-schema.ts';
import type { AGENT_ERRORS } from '../errors.ts';
import type { JsonText } from './answers.ts';
import type { LocalShares } from './connections.ts';
import type { Parameters } from './requests.ts';

/** A command as a local program takes it. */
interface TakenCommand {
  /** Grows for ever; acknowledge through it. */
  readonly cursor: number;
  /** The CloudEvent as JSON text. */
  readonly json: string;
}

/** A consumer as the store has it; cursors are 0 where there is none. */
interface ConsumerState {
  readonly name: string;
  readonly types: readonly string[];
  readonly messages: number;
  readonly bytes: number;
  readonly delivered: number;
  readonly acknowledged: number;
  readonly oldestAt: number | null;
}

/** A page of a list with the newest first: rows behind `before`; null: from the newest. */
interface Page {
  readonly limit: number;
  readonly before: number | null;
}

/** What is wrong right now, since when, and what to do about it. */
export interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly hint: string;
  readonly startedAt: string;
}

export interface LocalApiPorts {
  append(messages: readonly Message[]): Promise<Appended[]>;
  /** The oldest commands of a consumer behind `after` that it has not acknowledged. */
  take(consumer: string, max: number, after?: number): Promise<TakenCommand[]>;
  /** Commands through this cursor are handed out; when it resolves, a kill cannot undo that. */
  deliver(consumer: string, through: number): Promise<void>;
  /** The last cursor that was stored for the consumer; 0: none. */
  lastCursor(consumer: string): number;
  /** Resolves when there may be a command behind `after`, or after `timeoutMs`, or when `signal` aborts. */
  waitForCommands(consumer: string, timeoutMs: number, signal: AbortSignal, after?: number): Promise<void>;
  /** Errors: ack_beyond_delivered, cursor_unknown. */
  acknowledge(consumer: string, through: number): Promise<void>;
  consumers(): Promise<readonly ConsumerState[]>;
  status(): Promise<Readonly<Record<string, unknown>>>;
  /** Of the daemon and the logs; the local API has its own beside them. */
  problems(): readonly Problem[];
  /** Why programs cannot post events at present: error codes; none when they can. */
  notReady(): Promise<readonly string[]>;
  incidents(page: Page): Promise<readonly { key: number; at: number; kind: string; detail: string }[]>;
  deadLetters(page: Page): Promise<
    readonly {
      key: number;
      at: number;
      direction: 'up' | 'down';
      number: number;
      id: string;
      reason: string;
      json: string;
    }[]
  >;
  readonly now: () => number;
  /** Of one event; what Central said last. */
  readonly maxMessageBytes: () => number;
  /** Source of events whose producer names none. */
  readonly source: () => string;
  readonly onUnexpected: (error: unknown, requestId?: string) => void;
}

/** What rotates and shows token files (tokens.ts). */
export interface TokenFiles {
  holderOf(token: string): Authority | undefined;
  pathOf(consumer: string): string | undefined;
  /** Errors: local_consumer_unknown, file faults. */
  rotate(consumer: string): Promise<{ readonly tokenFile: string; readonly previousExpiresAt: string }>;
}

/**
 * Who a request is from: the account of the agent, which uses the consumer `default`; a consumer or a running task by its
 * token.
 */
export interface Authority {
  readonly kind: 'owner' | 'consumer' | 'task';
  /** Empty for a task, which gets no commands. */
  readonly consumer: string;
  /** Its id at Central. */
  readonly task?: string;
}

/** One request that may be answered. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  readonly query: URLSearchParams;
  /** Of the path: `{consumer}`. */
  readonly segment: string;
  /** Of a route for everybody it is the owner's, and means nothing. */
  readonly authority: Authority;
  /** False once the token that the request came with has ended. */
  readonly isStillAllowed: () => boolean;
  readonly ports: LocalApiPorts;
  readonly tokens: TokenFiles;
  /** What requests of this authority may hold. */
  readonly shares: LocalShares;
  readonly stopping: AbortSignal;
}

export interface Reply {
  readonly status: number;
  /** Undefined: it has been sent already, as a stream. */
  readonly body: object | JsonText | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

type ErrorCode = keyof typeof AGENT_ERRORS | 'outbox_full' | 'id_reused' | 'message_expired' | 'body_not_utf8';

export interface Operation {
  /** For openapi.json. */
  readonly id: string;
  readonly summary: string;
  /** none: everybody on this host; producer: a running task too; own: the consumer of the path, or the owner. */
  readonly who: 'none' | 'producer' | 'any' | 'own' | 'owner';
  readonly parameters: Parameters;
  readonly body?: { readonly types: readonly string[]; readonly schema: JsonSchema };
  readonly answers: Readonly<
    Record<number, { readonly description: string; readonly schema: JsonSchema; readonly stream?: string }>
  >;
  /** Beside those that every route has. */
  readonly errors: readonly ErrorCode[];
  handle(exchange: Exchange): Promise<Reply> | Reply;
}

export interface Route {
  /** With at most one segment in braces. */
  readonly path: string;
  readonly GET?: Operation;
  readonly POST?: Operation;
}
