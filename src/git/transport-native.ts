/** The `git` program as a transport: ssh and local repositories, and the bulk of HTTP. */
import type { Oid } from '../manifest/resource.ts';
import type { Address } from './address.ts';
import { programError } from './errors.ts';
import type { LocalRepository } from './local-repository.ts';
import type { ObjectStore } from './objects.ts';
import { type GitProgram, runGit } from './program.ts';
import { listRefs, readRef } from './refs.ts';
import { type ClosableTransport, openTransport, trackedRef, type Wire } from './transport.ts';
import type { RefUpdate } from './types.ts';

/** A question to the remote; what moves packs may take as long as a big first clone. */
const ASK_MS = 60_000;
const MOVE_MS = 30 * 60_000;
/** What moves packs tells how far it is, and the host that it is alive: when neither does, it has stopped. */
const SILENCE_MS = 120_000;

/**
 * An argument vector holds some 2 MiB. More refs go in several pushes, branches last: a status never comes before the tags
 * that it speaks of, and what went is found done when the rest is pushed again.
 */
const MAX_REFS = 4000;

export interface NativeOptions {
  git: GitProgram;
  address: Address;
  /** Of a local repository: its refs are read in process. */
  local?: LocalRepository;
}

export function openNativeTransport(options: NativeOptions, store: ObjectStore): ClosableTransport {
  return openTransport(nativeWire(options), store, options.git.gitdir);
}

export function nativeWire({ git, address, local }: NativeOptions): Wire {
  const url = local?.commondir ?? address.url;
  const where = address.display;

  async function lsRemote(patterns: string[], signal: AbortSignal): Promise<Map<string, Oid>> {
    const ran = await runGit(git, ['ls-remote', '--refs', '--', url, ...patterns], { signal, timeoutMs: ASK_MS });
    if (ran.code !== 0) throw programError('read its refs', where, ran.stderr, ran.failure);
    const refs = new Map<string, Oid>();
    for (const line of ran.stdout.toString().split('\n')) {
      const [oid, ref] = line.split('\t');
      if (oid !== undefined && ref !== undefined) refs.set(ref, oid);
    }
    return refs;
  }

  return {
    async head(ref, signal) {
      if (local !== undefined) return await readRef(local.commondir, ref);
      return (await lsRemote([ref], signal)).get(ref);
    },
    async refs(prefixes, signal) {
      if (local !== undefined) return await listRefs(local.commondir, ...prefixes);
      const patterns = prefixes.map((prefix) => `${prefix}*`);
      const all = await lsRemote(patterns, signal);
      return new Map([...all].filter(([ref]) => prefixes.some((prefix) => ref.startsWith(prefix))));
    },
    ...(local !== undefined && { peek: (ref) => readRef(local.commondir, ref) }),
    async download(ref, fresh, signal) {
      const tracked = trackedRef(ref);
      const ran = await runGit(
        git,
        [
          'fetch',
          '--progress',
          '--no-tags',
          '--no-write-fetch-head',
          '--no-recurse-submodules',
          ...(fresh ? ['--refetch'] : []),
          '--',
          url,
          `+${ref}:${tracked}`,
        ],
        { signal, timeoutMs: MOVE_MS, silenceMs: SILENCE_MS },
      );
      if (ran.code === 0) return await readRef(git.gitdir, tracked);
      const error = programError(`fetch ${ref}`, where, ran.stderr, ran.failure);
      if (error.code === 'no-branch') return undefined;
      throw error;
    },
    async send({ updates }, signal) {
      const ordered = [...updates].sort((a, b) => Number(isBranch(a)) - Number(isBranch(b)));
      for (let at = 0; at < ordered.length; at += MAX_REFS) {
        const ran = await runGit(git, pushArguments(url, ordered.slice(at, at + MAX_REFS)), {
          signal,
          timeoutMs: MOVE_MS,
          silenceMs: SILENCE_MS,
        });
        const refused = readPorcelain(ran.stdout.toString());
        if (refused.size > 0) return refused;
        if (ran.code !== 0) throw programError('push', where, ran.stderr, ran.failure);
      }
      return new Map();
    },
    close: async () => {},
  };
}

function isBranch({ ref }: RefUpdate): boolean {
  return ref.startsWith('refs/heads/');
}

/** Each ref with a lease on exactly what it must hold; without one (`ref:`), that it must not exist. */
function pushArguments(url: string, updates: readonly RefUpdate[]): string[] {
  return [
    'push',
    '--porcelain',
    '--progress',
    '--atomic',
    '--no-verify',
    '--no-signed',
    '--recurse-submodules=no',
    ...updates.map(({ ref, old }) => `--force-with-lease=${ref}:${old ?? ''}`),
    '--',
    url,
    ...updates.map(({ ref, new: oid }) => `${oid ?? ''}:${ref}`),
  ];
}

/** `!\t<from>:<to>\t[rejected] (stale info)` for each ref that was refused. */
function readPorcelain(output: string): Map<string, string> {
  const refused = new Map<string, string>();
  for (const line of output.split('\n')) {
    const [flag, refspec, summary] = line.split('\t');
    if (flag !== '!' || refspec === undefined) continue;
    const ref = refspec.slice(refspec.indexOf(':') + 1);
    refused.set(ref, /\((.*)\)/.exec(summary ?? '')?.[1] ?? summary ?? 'refused');
  }
  return refused;
}
