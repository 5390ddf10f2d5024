// The token files of all consumers: `default` has local-api.json, each other one a file of its own, which a group may
// be allowed to read. A token says which consumer, or which running task, a request is from.
import { mkdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isCoded, systemCode, textOf, type CodedError } from '../../shared/errors.ts';
import { HAS_FILE_MODES } from '../../shared/platform/files.ts';
import { groupIdOf } from '../../shared/platform/group.ts';
import { agentFault } from '../errors.ts';
import { DEFAULT_CONSUMER } from '../store/routing.ts';
import { LOCAL_API_FILE, TokenFile, tokenDigest, type LocalApiAddresses } from './file.ts';
import { TaskTokens } from './task-tokens.ts';
import type { Authority } from './types.ts';

export interface ConsumerGroup {
  readonly name: string;
  /** Group whose members may read the token file; undefined: only the account of the agent. */
  readonly group?: string | undefined;
}

interface ConsumerTokensNeeds {
  readonly dataFolder: string;
  /** Of the files of all consumers but `default`. */
  readonly folder: string;
  readonly consumers: readonly ConsumerGroup[];
  /** Consumers that were removed: their tokens are not accepted. */
  readonly gone?: readonly string[];
  readonly now: () => number;
}

/** Others may enter the folder, and not list it: a member of the group knows the name of its file. */
const SHARED_FOLDER = 0o711;
const PRIVATE_FOLDER = 0o700;

export class ConsumerTokens {
  readonly #needs: ConsumerTokensNeeds;
  readonly tasks: TaskTokens;
  #files = new Map<string, TokenFile>();
  #groups = new Map<string, string | undefined>();
  #problems: CodedError[] = [];
  #addresses: LocalApiAddresses = { socket: null, url: null };

  private constructor(needs: ConsumerTokensNeeds) {
    this.#needs = needs;
    this.tasks = new TaskTokens(needs.now);
  }

  /** Opens or makes the tokens; `publish` writes the files. */
  static async open(needs: ConsumerTokensNeeds): Promise<ConsumerTokens> {
    const tokens = new ConsumerTokens(needs);
    await tokens.#open(needs.consumers, needs.gone ?? []);
    return tokens;
  }

  /** From now on these consumers have tokens; those that were there before keep theirs. Errors: file faults. */
  async change(consumers: readonly ConsumerGroup[], gone: readonly string[]): Promise<void> {
    await this.#open(consumers, gone);
    await this.publish(this.#addresses);
  }

  async #open(consumers: readonly ConsumerGroup[], gone: readonly string[]): Promise<void> {
    const { dataFolder, folder, now } = this.#needs;
    for (const name of gone) await rm(join(folder, `${name}.json`), { force: true });
    const others = consumers.filter(({ name }) => name !== DEFAULT_CONSUMER);
    if (others.length > 0)
      await mkdir(folder, {
        recursive: true,
        mode: others.some(({ group }) => group !== undefined) ? SHARED_FOLDER : PRIVATE_FOLDER,
      });
    const own = consumers.find(({ name }) => name === DEFAULT_CONSUMER) ?? { name: DEFAULT_CONSUMER };
    this.#problems = [];
    this.#groups = new Map(consumers.map(({ name, group }) => [name, group]));
    const files = new Map<string, TokenFile>();
    for (const consumer of [own, ...others]) {
      const { name } = consumer;
      const path = name === DEFAULT_CONSUMER ? join(dataFolder, LOCAL_API_FILE) : join(folder, `${name}.json`);
      const groupId = await this.#groupOf(consumer, path);
      files.set(name, await TokenFile.open({ path, now, groupId }));
    }
    this.#files = files;
  }

  /** Whom a token belongs to. All tokens are compared, whatever was sent. */
  holderOf(token: string): Authority | undefined {
    const sent = tokenDigest(token);
    let found: string | undefined;
    for (const [name, file] of this.#files) if (file.accepts(sent)) found = name;
    const task = this.tasks.taskOf(sent);
    if (found !== undefined) return { kind: 'consumer', consumer: found };
    return task === undefined ? undefined : { kind: 'task', consumer: '', task };
  }

  /** Undefined: there is no such consumer. */
  pathOf(consumer: string): string | undefined {
    return this.#files.get(consumer)?.path;
  }

  /** What keeps programs of other accounts from their tokens. */
  problems(): readonly CodedError[] {
    return this.#problems;
  }

  /** Writes all files with what is listened on now. */
  async publish(addresses: LocalApiAddresses): Promise<void> {
    this.#addresses = addresses;
    for (const [name, file] of this.#files) await this.#write(name, file);
    await this.tasks.publish(addresses);
  }

  /** Makes another token; the one before stays valid for a day. Errors: local_consumer_unknown, file faults. */
  async rotate(consumer: string): Promise<{ readonly tokenFile: string; readonly previousExpiresAt: string }> {
    const file = this.#files.get(consumer);
    if (file === undefined) throw agentFault('local_consumer_unknown', { found: consumer.slice(0, 64) });
    return { tokenFile: file.path, ...(await file.rotate()) };
  }

  async #write(name: string, file: TokenFile): Promise<void> {
    try {
      await file.publish(this.#addresses);
    } catch (error) {
      const group = this.#groups.get(name);
      if (group === undefined || !isCoded(error) || systemCode(error.cause) !== 'EPERM') throw error;
      // The owner's only, where the group cannot have it: never wider than was asked for.
      this.#problems.push(
        agentFault(
          'local_group_refused',
          { path: file.path, group, setting: `consumer.${name}.group`, found: textOf(error.cause) },
          error,
        ),
      );
      const narrow = await TokenFile.open({ path: file.path, now: this.#needs.now });
      this.#files.set(name, narrow);
      await narrow.publish(this.#addresses);
    }
  }

  async #groupOf({ name, group }: ConsumerGroup, path: string): Promise<number | undefined> {
    if (group === undefined || !HAS_FILE_MODES) return undefined;
    const groupId = await groupIdOf(group);
    if (groupId === undefined) {
      this.#problems.push(agentFault('local_group_unknown', { group, setting: `consumer.${name}.group`, path }));
      return undefined;
    }
    const folder = await closedFolder(dirname(path), groupId);
    if (folder !== undefined)
      this.#problems.push(agentFault('local_tokens_hidden', { group, consumer: name, path, folder }));
    return groupId;
  }
}

/** The first folder on the way that members of the group may not enter. */
async function closedFolder(folder: string, groupId: number): Promise<string | undefined> {
  const { mode, gid } = await stat(folder);
  const isOpen = (mode & 0o001) !== 0 || (gid === groupId && (mode & 0o010) !== 0);
  if (!isOpen) return folder;
  const parent = dirname(folder);
  return parent === folder ? undefined : await closedFolder(parent, groupId);
}
