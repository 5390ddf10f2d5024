// Loads what handles releases with the first offer, or where one came before: until then an agent does without its
// memory.
import { existsSync } from 'node:fs';
import { isCoded, textOf } from '../../shared/errors.ts';
import type { ReleasesControl, SendControl } from '../connection/control.ts';
import { loadReleaseRecord, releaseRecordFile, type KindRecord, type ReleaseRecord } from '../release-record.ts';
import type { SoftwarePair } from '../software-slot.ts';
import type { ReleaseManager, ReleaseNeeds } from './manager.ts';

interface InstructionStatus {
  readonly release: string;
  readonly generation: number;
  readonly stage: string;
  readonly state: string;
  readonly receivedBytes: number;
  readonly totalBytes: number;
  readonly stateReason: { readonly code: string; readonly detail: string; readonly hint: string } | null;
}

/** What the local API shows. */
interface ReleasesStatus {
  readonly profile: {
    /** Digest of the running release; null: the profile of the command line. */
    readonly release: string | null;
    readonly previousRelease: string | null;
    readonly instruction: InstructionStatus;
    /** Files that have changed on the disk. */
    readonly changedFiles: readonly string[];
  } | null;
  readonly software:
    | (SoftwarePair & {
        readonly isOnTrial: boolean;
        readonly previous: SoftwarePair | null;
        readonly instruction: InstructionStatus;
        /** Files of the running releases that have changed on the disk. */
        readonly changedFiles: readonly string[];
      })
    | null;
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

  // A trial without a record ends at once: the launcher returns to what is committed.
  if (existsSync(releaseRecordFile(needs.dataFolder)) || needs.software.slot?.isCandidate === true)
    loadOnce().catch(failed);
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
    status: () => {
      if (manager === undefined || (manager.profile === null && manager.software === null)) return null;
      return statusOf(manager, needs.software);
    },
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

function statusOf({ profile, software }: ReleaseManager, { slot }: ReleaseNeeds['software']): ReleasesStatus {
  const { program = null, runtime = null } = slot?.pair ?? {};
  return {
    profile:
      profile === null
        ? null
        : {
            release: profile.record.current,
            previousRelease: profile.record.previous,
            instruction: instructionOf(profile.record),
            changedFiles: profile.changedFiles.slice(0, MAX_CHANGED_FILES),
          },
    software:
      software === null
        ? null
        : {
            program,
            runtime,
            isOnTrial: software.isOnTrial,
            previous: software.record.previous,
            instruction: instructionOf(software.record),
            changedFiles: software.changedFiles.slice(0, MAX_CHANGED_FILES),
          },
  };
}

function instructionOf(record: KindRecord): InstructionStatus {
  const { instruction, state, receivedBytes, totalBytes, code, detail, hint } = record;
  const { release, generation, stage } = instruction;
  const stateReason = code === '' ? null : { code, detail, hint };
  return { release, generation, stage, state, receivedBytes, totalBytes, stateReason };
}
