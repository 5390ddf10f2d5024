// Creates an administrator's token on Central's own host, for an installation whose tokens are lost: in the store where
// Central is stopped, else by a request to the Central that runs. The proof is the right to write files of Central's
// account into the data folder; who has that could write the store as well. The audit log records it.
import { chown, rm, stat } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { isCoded, systemCode, textOf, type CodedError } from '../../shared/errors.ts';
import { readBoundedFile } from '../../shared/files/bounded-file.ts';
import { lstatIfThere, replaceSecretFile } from '../../shared/files/secret-file.ts';
import { HAS_FILE_MODES, hasOneName, isOpenToOthers } from '../../shared/platform/files.ts';
import { isRecord } from '../../shared/wire/json-schema.ts';
import { createApiTokens, type ApiTokens } from '../auth/api-tokens.ts';
import { ADMINISTRATOR_TOKEN_FILE, configFault, type CentralConfig } from '../config.ts';
import { openCentralStore, openStoreFiles } from '../store/open-store.ts';

const ON_THE_HOST = { who: 'queuegate-central create-administrator-token', from: 'local' } as const;

/** In the data folder, 0600, as long as a request takes. */
const REQUEST_FILE = 'administrator-token.request';
const ANSWER_FILE = 'administrator-token.answer';
const MAX_FILE_BYTES = 4096;
/** Central looks every second; at its start it may take some more. */
const ANSWER_WITHIN_MS = 30_000;
const LOOK_MS = 100;
/** A request that its command no longer waits for. */
const REQUEST_VALID_MS = 2 * ANSWER_WITHIN_MS;

type Config = Parameters<typeof openCentralStore>[0];

interface Created {
  /** The 0600 file that holds the token; `queuegate` on this host uses it. */
  readonly file: string;
  /** Created by the Central that runs. */
  readonly isRunning: boolean;
}

/**
 * Errors: data_folder_empty, administrator_token_refused, administrator_token_unanswered, and those of the store and of
 * files. `waitMs`: for the answer of a Central that runs.
 */
export async function createAdministratorToken(config: Config, waitMs = ANSWER_WITHIN_MS): Promise<Created> {
  const folder = config.dataFolder;
  if (config.storeUrl === undefined)
    await openStoreFiles(folder)
      .copyBytes()
      .catch((error: unknown) => {
        throw systemCode(error) === 'ENOENT' ? configFault('data_folder_empty', { folder }, error) : error;
      });
  const file = join(folder, ADMINISTRATOR_TOKEN_FILE);
  try {
    await createInStore(config, file);
    return { file, isRunning: false };
  } catch (error) {
    if (!isCoded(error, 'data_in_use')) throw error;
    await requestFromCentral(folder, waitMs, error);
    return { file, isRunning: true };
  }
}

async function createInStore(config: Config, file: string): Promise<void> {
  const store = await openCentralStore(config, () => undefined);
  try {
    await create(createApiTokens({ tokens: store.tokens, attempts: NO_ATTEMPTS, now: Date.now }), file);
  } finally {
    await store.stop();
  }
}

async function create(apiTokens: Pick<ApiTokens, 'createAdministrator'>, file: string): Promise<void> {
  await apiTokens.createAdministrator('administrator of the host', ON_THE_HOST, (token) =>
    replaceSecretFile(file, Buffer.from(`${token}\n`)),
  );
}

/** Nothing is authenticated here. */
const NO_ATTEMPTS = { slow: async () => undefined };

async function requestFromCentral(folder: string, waitMs: number, inUse: CodedError): Promise<void> {
  const [request, answer] = [join(folder, REQUEST_FILE), join(folder, ANSWER_FILE)];
  const id = randomBytes(16).toString('hex');
  await replaceSecretFile(request, Buffer.from(JSON.stringify({ id })));
  try {
    const owner = await stat(folder);
    // Root may act for the account of Central, which has to read the file.
    if (process.geteuid?.() === 0) await chown(request, owner.uid, owner.gid);
    for (const deadline = performance.now() + waitMs; performance.now() < deadline;) {
      const found = await readJson(answer);
      if (found?.['id'] === id) {
        await rm(answer, { force: true });
        if (isRecord(found['error'])) throw refusedFor(found['error']);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  } finally {
    await rm(request, { force: true });
  }
  const seconds = waitMs / 1000;
  throw configFault('administrator_token_unanswered', { folder, pid: String(inUse.parameters['pid']), seconds }, inUse);
}

function refusedFor({ text, hint }: Readonly<Record<string, unknown>>): CodedError {
  return configFault('administrator_token_refused', { found: String(text), action: String(hint) });
}

interface TokenRequestsOptions {
  readonly folder: string;
  readonly apiTokens: Pick<ApiTokens, 'createAdministrator'>;
  readonly log: Pick<Logger, 'warn'>;
  readonly now: () => number;
}

/** The side of the Central that runs. */
export class AdministratorTokenRequests {
  readonly #options: TokenRequestsOptions;

  constructor(options: TokenRequestsOptions) {
    this.#options = options;
  }

  /** Answers a request, if there is one; called every second, one at a time. */
  async check(): Promise<void> {
    const { folder, apiTokens, log, now } = this.#options;
    const path = join(folder, REQUEST_FILE);
    const found = await lstatIfThere(path);
    if (found === undefined) return;
    const request = found.isFile() ? await readJson(path) : undefined;
    // Whatever comes of it: no request is answered twice.
    await rm(path, { force: true, recursive: true });
    const isOwn =
      found.isFile() &&
      (!HAS_FILE_MODES || (found.uid === process.geteuid?.() && hasOneName(found) && !isOpenToOthers(found, 0o077)));
    const isRecent = Math.abs(now() - found.mtimeMs) < REQUEST_VALID_MS;
    const id = request?.['id'];
    if (!isOwn || !isRecent || typeof id !== 'string') {
      log.warn({ file: path, uid: found.uid }, 'a request for an administrator token was ignored');
      return;
    }
    const error = await create(apiTokens, join(folder, ADMINISTRATOR_TOKEN_FILE)).then(
      () => null,
      (reason: unknown) => ({ text: textOf(reason), hint: isCoded(reason) ? reason.hint : '' }),
    );
    log.warn({ by: ON_THE_HOST.who, error: error?.text }, 'an administrator token was requested on this host');
    await replaceSecretFile(join(folder, ANSWER_FILE), Buffer.from(JSON.stringify({ id, error })));
  }
}

interface TokenRequestsNeeds extends Omit<TokenRequestsOptions, 'folder'> {
  readonly config: Pick<CentralConfig, 'dataFolder'>;
}

export function openTokenRequests({ config, ...needs }: TokenRequestsNeeds) {
  return { tokenRequests: new AdministratorTokenRequests({ ...needs, folder: config.dataFolder }) };
}

/** Undefined: there is none, or it is not written yet. */
async function readJson(path: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const bytes = await readBoundedFile({
    path,
    what: 'The request for an administrator token',
    maxBytes: MAX_FILE_BYTES,
    hint: 'Remove it.',
    ifMissing: 'ignore',
  });
  if (bytes === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
