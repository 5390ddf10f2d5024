// Profiles, releases and blobs as calls to the two database threads: the part of ../calls.ts for them.
import type { Reader, Writer } from '../threads.ts';
import type { ReleaseStore } from '../../releases/release-store.ts';

/** Blobs in one call: a quick one, while few of them are large. */
const DISCARD_STEP = 500;
const LAZY = { lazy: true } as const;

export function releaseCalls(writer: Writer, reader: Reader): ReleaseStore {
  return {
    beginBlob: (now) => writer.call('beginBlob', [now]),
    appendChunk: (blob, index, data) =>
      writer.call('appendChunk', [blob, index, data], { bytes: data.length, transfer: [data.buffer] }),
    finishBlob: (blob, content, now) => writer.call('finishBlob', [blob, content, now]),
    async discardBlobs(blobs) {
      for (let at = 0; at < blobs.length;)
        at += await writer.call('discardBlobs', [blobs.slice(at, at + DISCARD_STEP)], LAZY);
    },
    blobSize: (sha256) => reader.call('blobSize', [sha256]),
    readChunk: (sha256, index, into) =>
      reader.call('readChunk', [sha256, index, into], into === undefined ? {} : { transfer: [into] }),
    listProfiles: (page) => reader.call('listProfiles', [page.after ?? '', page.limit]),
    getProfile: (name) => reader.call('getProfile', [name]),
    draftOf: (name) => reader.call('draftOf', [name]),
    listDraft: (name, page) => reader.call('listDraft', [name, page.after ?? '', page.limit]),
    draftFile: (name, path) => reader.call('draftFile', [name, path]),
    changeDraft: (change, audit) => writer.call('changeDraft', [audit, change]),
    removeProfile: (name, audit) => writer.call('removeProfile', [audit, name]),
    addRelease: (release, blobs, audit) => writer.call('addRelease', [audit, release, blobs]),
    signRelease: (digest, signature, audit) => writer.call('signRelease', [audit, digest, signature]),
    removeRelease: (digest, audit) => writer.call('removeRelease', [audit, digest]),
    release: (digest) => reader.call('getRelease', [digest]),
    listReleases: ({ kind = null, name = null, prefix = '', before = Number.MAX_SAFE_INTEGER, limit }) =>
      reader.call('listReleases', [kind, name, prefix, before, limit]),
    isOfRelease: (digest, sha256) => reader.call('isOfRelease', [digest, sha256]),
  };
}
