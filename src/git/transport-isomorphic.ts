/** HTTP(S) in process: one request for a poll, two for a fetch, one for a push of any number of refs. */
import fs from 'node:fs';
import type { GitHttpRequest } from 'isomorphic-git';
import type { Oid } from '../manifest/resource.ts';
import type { Address } from './address.ts';
import { GitError } from './errors.ts';
import { type HttpRemote, openHttp } from './http.ts';
import { isomorphicGit } from './isomorphic.ts';
import type { ObjectStore } from './objects.ts';
import { formatPack, storePack } from './pack.ts';
import { listRefs, readRef } from './refs.ts';
import { type Advertisement, discover, fetchPack, lsHead, lsRefs, receivePack } from './smart-http.ts';
import { type ClosableTransport, openTransport, TRACKED, trackedRef, type Wire } from './transport.ts';
import type { CommitData } from './types.ts';

/** A head that was just asked for is fetched without asking again. */
const HEAD_FRESH_MS = 1000;
/** How far back the remote is told what the clone has: local commits that were never pushed are unknown to it. */
const HAVES_PER_REF = 10;

export interface HttpOptions {
  gitdir: string;
  address: Address & { kind: 'http' };
  store: ObjectStore;
  /** What takes over the first download of a ref, where the `git` program is at hand. */
  bulk?: Wire;
}

export interface HttpTransport extends ClosableTransport {
  /** The branch that the remote's `HEAD` names. */
  defaultBranch(signal: AbortSignal): Promise<string | undefined>;
}

export function openIsomorphicTransport(options: HttpOptions): HttpTransport {
  const { gitdir, store, bulk } = options;
  const remote = openHttp(options.address);
  const heads = new Map<string, { oid: Oid; at: number }>();
  let version: Advertisement['version'] | undefined;

  async function protocol(signal: AbortSignal): Promise<Advertisement['version']> {
    version ??= (await discover(remote, signal)).version;
    return version;
  }

  async function refs(prefixes: string[], signal: AbortSignal): Promise<Map<string, Oid>> {
    const all = (await protocol(signal)) === 2 ? await lsRefs(remote, prefixes, signal) : await refsOfVersion1(signal);
    return new Map([...all].filter(([ref]) => prefixes.some((prefix) => ref.startsWith(prefix))));
  }

  /** A host may learn version 2, and then lists none here. */
  async function refsOfVersion1(signal: AbortSignal): Promise<Map<string, Oid>> {
    const found = await discover(remote, signal);
    version = found.version;
    return found.version === 2 ? await lsRefs(remote, ['refs/'], signal) : found.refs;
  }

  async function head(ref: string, signal: AbortSignal): Promise<Oid | undefined> {
    const oid = (await refs([ref], signal)).get(ref);
    if (oid === undefined) heads.delete(ref);
    else heads.set(ref, { oid, at: performance.now() });
    return oid;
  }

  async function wanted(ref: string, signal: AbortSignal): Promise<Oid | undefined> {
    const known = heads.get(ref);
    if (known === undefined || performance.now() - known.at > HEAD_FRESH_MS) await head(ref, signal);
    const oid = heads.get(ref)?.oid;
    heads.delete(ref);
    return oid;
  }

  const wire: Wire = {
    head,
    refs,
    close: () => remote.close(),
    async download(ref, fresh, signal) {
      if (bulk !== undefined && (fresh || (await readRef(gitdir, trackedRef(ref))) === undefined))
        return await bulk.download(ref, fresh, signal);
      const want = await wanted(ref, signal);
      if (want === undefined || (!fresh && want === (await readRef(gitdir, trackedRef(ref))))) return want;
      if ((await protocol(signal)) === 1) return await fetchVersion1(remote, gitdir, ref, signal);
      const haves = fresh ? [] : await knownCommits(gitdir, store);
      await storePack(gitdir, await fetchPack(remote, want, haves, signal), remote.display);
      return want;
    },
    async send({ updates, objects }, signal) {
      heads.clear();
      // Git wants no pack at all with nothing but deletions, and one, if an empty one, with anything else.
      const isDeletion = updates.every((update) => update.new === undefined);
      const pack = isDeletion ? [] : await formatPack(objects);
      return await receivePack(remote, updates, pack, signal);
    },
  };
  return {
    ...openTransport(wire, store, gitdir),
    async defaultBranch(signal) {
      if ((await protocol(signal)) === 2) return await lsHead(remote, signal);
      return (await discover(remote, signal)).head;
    },
  };
}

/** The tips that earlier fetches brought, and the commits just below them. */
async function knownCommits(gitdir: string, store: ObjectStore): Promise<Oid[]> {
  const haves = new Set<Oid>();
  for (const tip of (await listRefs(gitdir, TRACKED)).values()) {
    let next: Oid | undefined = tip;
    for (let step = 0; next !== undefined && step < HAVES_PER_REF; step++) {
      const commit: CommitData | undefined = await store.commit(next).catch(() => undefined);
      if (commit === undefined) break;
      haves.add(next);
      next = commit.parents[0];
    }
  }
  return [...haves];
}

/**
 * For hosts that do not speak version 2. `ref` is what the clone has of it (else everything comes again), `singleBranch`
 * and no tags (else all refs are wanted), never a `depth` (else a whole tree comes again).
 */
async function fetchVersion1(
  remote: HttpRemote,
  gitdir: string,
  ref: string,
  signal: AbortSignal,
): Promise<Oid | undefined> {
  const git = await isomorphicGit();
  const { fetchHead } = await git.fetch({
    fs,
    gitdir,
    http: { request: (request) => throughRemote(remote, request, signal) },
    url: remote.url,
    remote: 'origin',
    ref: trackedRef(ref),
    remoteRef: ref,
    singleBranch: true,
    tags: false,
    cache: {},
  });
  return fetchHead ?? undefined;
}

async function throughRemote(remote: HttpRemote, request: GitHttpRequest, signal: AbortSignal) {
  const { url, method = 'GET', headers = {} } = request;
  if (!url.startsWith(`${remote.url}/`))
    throw new GitError('failed', `${remote.display}: a request left the repository`);
  const parts: Uint8Array[] = [];
  for await (const part of request.body ?? []) parts.push(part);
  const answer = await remote.ask(method === 'POST' ? 'POST' : 'GET', url.slice(remote.url.length + 1), {
    headers,
    signal,
    packs: true,
    ...(parts.length === 0 ? {} : { body: Buffer.concat(parts) }),
  });
  async function* body() {
    yield new Uint8Array(answer.body);
  }
  return { url, method, statusCode: 200, statusMessage: 'OK', headers: answer.headers, body: body() };
}
