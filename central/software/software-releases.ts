// Releases of the agents' software, as administrators import them: the archive of a build (.qgs) is a tar file of
// manifest.json, signature.json and blobs/SHA256. Its content is stored while it comes; a release exists once all of it
// was found to be right.
import { releaseFault } from '../../shared/releases/errors.ts';
import { parseBuildSignature, MAX_SIGNATURE_BYTES } from '../../shared/releases/build-signature.ts';
import {
  manifestDigest,
  MAX_MANIFEST_BYTES,
  readManifest,
  releaseBytes,
  type Manifest,
  type ReleaseFile,
} from '../../shared/releases/manifest.ts';
import { namedPart, softwarePart } from '../../shared/releases/software.ts';
import { Mutex } from '../../shared/mutex.ts';
import { setNewest } from '../../shared/recent-entries.ts';
import { auditEntry, type Actor } from '../audit.ts';
import { BlobIntake, readBlob, withIntake } from '../profiles/contents/blobs.ts';
import { readTar } from '../profiles/contents/tar.ts';
import type { ReleaseRecord, ReleaseStore } from '../store/releases/release-store.ts';
import { softwareFault } from './errors.ts';

const BLOB_PATH = /^blobs\/([0-9a-f]{64})$/;
/** One page of the list. */
const KEPT_FACTS = 1_000;

interface ImportTerms {
  readonly actor: Actor;
  readonly dryRun?: boolean | undefined;
  /** Also without a signature. */
  readonly force?: boolean | undefined;
}

interface SoftwareNeeds {
  readonly store: ReleaseStore;
  readonly now: () => number;
}

export interface SoftwareRelease {
  readonly release: ReleaseRecord;
  readonly part: ReturnType<typeof softwarePart>;
  /** Ids of the keys that signed it, as its signature names them: agents decide which of them they know. */
  readonly signers: readonly string[];
}

type Facts = Omit<SoftwareRelease, 'release'>;

interface Imported extends SoftwareRelease {
  readonly isNew: boolean;
}

interface Archive extends Pick<SoftwareRelease, 'part' | 'signers'> {
  /** Of the manifest. */
  readonly text: string;
  readonly manifest: Manifest;
  readonly signature: string | undefined;
}

export class SoftwareReleases {
  readonly #needs: SoftwareNeeds;

  /** Of releases, by digest and signature: both never change under their names. */
  readonly #facts = new Map<string, Facts>();
  readonly #reading = new Mutex();

  constructor(needs: SoftwareNeeds) {
    this.#needs = needs;
  }

  /** The newest first. */
  async list(page: { readonly before?: number; readonly limit: number }): Promise<SoftwareRelease[]> {
    const found = await this.#needs.store.listReleases({ kind: 'software', ...page });
    const shown: SoftwareRelease[] = [];
    for (const release of found) shown.push(await this.#shown(release));
    return shown;
  }

  /** By its name, its digest or the beginning of it, with or without "NAME@". Errors: software_release_unknown. */
  async find(reference: string): Promise<SoftwareRelease> {
    const [, name, prefix = ''] = /^(?:([^@]{1,64})@)?([0-9a-f]{8,64})$/.exec(reference) ?? [];
    const wanted = prefix === '' ? { name: reference } : { prefix, ...(name === undefined ? {} : { name }) };
    const found = await this.#needs.store.listReleases({ kind: 'software', limit: 2, ...wanted });
    const [release] = found;
    if (release === undefined || found.length > 1)
      throw softwareFault('software_release_unknown', { found: JSON.stringify(reference.slice(0, 130)) });
    return await this.#shown(release);
  }

  /** Out of its manifest. */
  async filesOf({ release: { digest } }: SoftwareRelease): Promise<readonly ReleaseFile[]> {
    return (await readManifest(await this.#text(digest))).files;
  }

  /**
   * The same files are the same release. Errors: archive_invalid, software_archive_invalid, software_unsigned,
   * manifest_invalid, release_part_unknown, build_signature_invalid, release_path_invalid, release_too_large,
   * store_reserve.
   */
  async import(archive: AsyncIterable<Buffer>, terms: ImportTerms): Promise<Imported> {
    const { store, now } = this.#needs;
    // Of a release that was there before, and in a dry run, nothing of it is needed.
    return await withIntake(
      new BlobIntake(store, now),
      (intake) => this.#import(archive, intake, terms),
      ({ isNew }) => !isNew || terms.dryRun === true,
    );
  }

  async #import(
    archive: AsyncIterable<Buffer>,
    intake: BlobIntake,
    { actor, dryRun = false, force = false }: ImportTerms,
  ): Promise<Imported> {
    const { store, now } = this.#needs;
    const { text, manifest, part, signature, signers } = await this.#read(archive, intake, force);
    const { name } = manifest;
    const digest = manifestDigest(text);
    const known = await store.release(digest);
    const seal = async (): Promise<string | null> =>
      signature === undefined ? null : (await intake.storeBytes(Buffer.from(signature))).sha256;
    const detail = { name, digest, signers, ...(signers.length === 0 ? { forced: ['software_unsigned'] } : {}) };
    const entry = auditEntry(actor, 'software.import', detail, now());
    if (known !== undefined) {
      // It was imported without its signature (--force): agents accept it from here on.
      const sealed = known.signature === null && !dryRun ? await seal() : null;
      if (sealed !== null) await store.signRelease(digest, sealed, entry);
      return { ...(await this.find(digest)), isNew: false };
    }
    const release = {
      digest,
      kind: 'software' as const,
      name,
      bytes: releaseBytes(manifest),
      fileCount: manifest.files.length,
      preparedAt: now(),
      preparedBy: actor.who,
      comment: actor.comment ?? null,
      ticket: actor.ticket ?? null,
      signature: await seal(),
    };
    if (dryRun) return { release: { ...release, number: 0 }, part, signers, isNew: true };
    await intake.storeBytes(Buffer.from(text));
    const blobs = [...new Set(manifest.files.map(({ sha256 }) => sha256))];
    await store.addRelease(release, blobs, entry);
    return { ...(await this.find(digest)), isNew: true };
  }

  /** Errors: software_release_unknown, release_in_use. */
  async delete(reference: string, actor: Actor): Promise<void> {
    const { digest, name } = (await this.find(reference)).release;
    const entry = auditEntry(actor, 'software.delete', { name, digest }, this.#needs.now());
    await this.#needs.store.removeRelease(digest, entry);
  }

  /**
   * In the order of the archive: the manifest, its signature, then the files. Nothing is stored before both were found
   * to be right, and nothing that the manifest does not name.
   */
  async #read(archive: AsyncIterable<Buffer>, intake: BlobIntake, force: boolean): Promise<Archive> {
    let head: Omit<Archive, 'signature' | 'signers'> | undefined;
    let signature: string | undefined;
    let missing: Map<string, number> | undefined;
    for await (const { path, size, content } of readTar(archive)) {
      if (head === undefined) head = await manifestIn(path, content);
      else if (path === 'signature.json' && signature === undefined && missing === undefined)
        signature = await smallText(path, content, MAX_SIGNATURE_BYTES);
      else {
        missing ??= contentOf(head, signature, force);
        const [, sha256 = ''] = BLOB_PATH.exec(path) ?? [];
        if (missing.get(sha256) !== size) throw invalid(`${JSON.stringify(path.slice(0, 128))} is not in its manifest`);
        missing.delete(sha256);
        await intake.add(size, content, (stored) => {
          if (stored.sha256 !== sha256) throw invalid(`the content of ${path} was changed`);
        });
      }
    }
    await intake.finish();
    if (head === undefined) throw invalid('it is empty');
    missing ??= contentOf(head, signature, force);
    const [left] = missing.keys();
    if (left !== undefined) throw invalid(`blobs/${left} is missing`);
    return { ...head, signature, signers: signature === undefined ? [] : signersIn(signature, head.text) };
  }

  /** A manifest of 10,000 files takes 50 ms: it is read once, and one at a time. */
  async #shown(release: ReleaseRecord): Promise<SoftwareRelease> {
    const key = `${release.digest} ${release.signature ?? ''}`;
    const facts = await this.#reading.runExclusive(async () => this.#facts.get(key) ?? (await this.#factsOf(release)));
    setNewest(this.#facts, key, facts, KEPT_FACTS);
    return { release, ...facts };
  }

  async #factsOf({ digest, signature }: ReleaseRecord): Promise<Facts> {
    const text = await this.#text(digest);
    return {
      part: softwarePart(await readManifest(text)),
      signers: signature === null ? [] : signersIn(await this.#text(signature), text),
    };
  }

  async #text(sha256: string): Promise<string> {
    const { store } = this.#needs;
    const parts: Uint8Array[] = [];
    const size = (await store.blobSize(sha256)) ?? 0;
    for await (const chunk of readBlob(store, { sha256, size })) parts.push(chunk);
    return Buffer.concat(parts).toString('utf8');
  }
}

async function manifestIn(
  path: string,
  content: AsyncIterable<Buffer>,
): Promise<Omit<Archive, 'signature' | 'signers'>> {
  if (path !== 'manifest.json') throw invalid('it does not begin with manifest.json');
  const text = await smallText(path, content, MAX_MANIFEST_BYTES);
  const manifest = await readManifest(text);
  return { text, manifest, part: partOf(manifest) };
}

/** The size of each content by its SHA-256, once the signature was found to be right. */
function contentOf(
  { text, manifest }: Pick<Archive, 'manifest' | 'text'>,
  signature: string | undefined,
  force: boolean,
): Map<string, number> {
  if (signature !== undefined) signersIn(signature, text);
  else if (!force) throw softwareFault('software_unsigned', { name: manifest.name });
  return new Map(manifest.files.map(({ sha256, size }) => [sha256, size]));
}

/** What its files say, and its name too: rollouts go by the name. */
function partOf(manifest: Manifest): ReturnType<typeof softwarePart> {
  const part = softwarePart(manifest);
  const { name } = manifest;
  const named = namedPart(name);
  if (named !== part)
    throw releaseFault('release_part_unknown', {
      name,
      found: `its files are those of a ${part}, and its name is ${named === undefined ? 'not of the form queue-agent-PART-VERSION' : `of a ${named}`}`,
    });
  return part;
}

/** Errors: build_signature_invalid. */
function signersIn(signature: string, manifest: string): readonly string[] {
  return parseBuildSignature(signature, manifest).signatures.map(({ keyid }) => keyid);
}

async function smallText(path: string, content: AsyncIterable<Buffer>, most: number): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of content) {
    bytes += part.length;
    if (bytes > most) throw invalid(`${path} has more than ${most} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

const invalid = (found: string): Error => softwareFault('software_archive_invalid', { found });
