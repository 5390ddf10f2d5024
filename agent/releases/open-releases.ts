// Loads what handles releases with the first offer, or where one came before: until then an agent does without its memory.
import { existsSync } from 'node:fs';
import { isCoded, textOf } from '../../shared/errors.ts';
import type { ReleasesControl, SendControl } from '../connection/control.ts';
import { loadReleaseRecord, releaseRecordFile, type ReleaseRecord } from '../release-record.ts';
import type { ReleaseManager, ReleaseNeeds } from './manager.ts';

/** What the local API shows. */
interface ReleasesStatus {
  readonly profile: {
    /** Digest of the running release; null: the profile of the command line. */
    readonly release: string | null;
    readonly previousRelease: string | null;
    readonly instruction: {
      readonly release: string;
      readonly generation: number;
      readonly stage: string;
      readonly state: string;
      readonly receivedBytes: number;
      readonly totalBytes: number;
      readonly stateReason: { readonly code: string; readonly detail: string; readonly hint: string } | null;
    };
    /** Files that have changed on the disk. */
    readonly changedFiles: readonly string[];
  } | null;
}

export interface Releases extends ReleasesControl {
  /** Null: no release was ever offered. */
  status(): ReleasesStatus | null;
  stop(): Promise<void>;
}

const MAX_CHANGED_FILES = 100;

export function openReleases(needs: ReleaseNeeds): Releases {
  let manager: ReleaseManager | undefined;
  let loading: Promise<ReleaseManager> | undefined;
  let online: { readonly send: SendControl; readonly time: number; readonly since: number } | undefined;

  async function load(): Promise<ReleaseManager> {
    const { ReleaseManager: Manager } = await import('./manager.ts');
    const loaded = new Manager(await readRecord(needs), needs);
    manager = loaded;
    if (online !== undefined)
      loaded.onOnline(online.send, { time: online.time + Math.round(needs.clock() - online.since) });
    await loaded.start();
    return loaded;
  }
  const loadOnce = (): Promise<ReleaseManager> => (loading ??= load());
  const failed = (error: unknown): void => needs.log.error({ error: textOf(error) }, 'releases');

  if (existsSync(releaseRecordFile(needs.dataFolder))) loadOnce().catch(failed);
  return {
    onOnline(send, { time }) {
      online = { send, time, since: needs.clock() };
      manager?.onOnline(send, { time });
    },
    onFrame(frame) {
      loadOnce()
        .then((loaded) => loaded.onFrame(frame))
        .catch(failed);
    },
    onOffline() {
      online = undefined;
      manager?.onOffline();
    },
    status: () => (manager === undefined ? null : statusOf(manager)),
    async stop() {
      await loading?.then((loaded) => loaded.stop()).catch(failed);
    },
  };
}

/** A damaged one is as none: what Central orders next begins a new one. */
async function readRecord({ dataFolder, log }: ReleaseNeeds): Promise<ReleaseRecord | undefined> {
  try {
    return await loadReleaseRecord(dataFolder);
  } catch (error) {
    if (!isCoded(error)) throw error;
    log.warn({ code: error.code }, `${error.message} ${error.hint}`);
    return undefined;
  }
}

function statusOf({ state, changedFiles }: ReleaseManager): ReleasesStatus {
  if (state === null) return { profile: null };
  const { instruction, code, detail, hint, receivedBytes, totalBytes, current, previous } = state;
  const { release, generation, stage } = instruction;
  return {
    profile: {
      release: current,
      previousRelease: previous,
      instruction: {
        release,
        generation,
        stage,
        state: state.state,
        receivedBytes,
        totalBytes,
        stateReason:
          code === ''
            ? null
            : {
                code,
                detail,
                hint,
              },
      },
      changedFiles: changedFiles.slice(0, MAX_CHANGED_FILES),
    },
  };
}
