/** What the branch sluice/status says, as this repository knows it or as its remote does. */
import type { Oid, ResourceId } from '../manifest/resource.ts';
import type { StatusDocument } from '../status/document.ts';
import type { Held } from '../status/markdown.ts';
import { headOfMessage, heldOfMessage } from '../status/message.ts';
import { resourceOfStatusPath, STATUS_FOLDER, STATUS_REF, statusPath } from '../status/names.ts';
import { durationText } from '../status/words.ts';
import { fromText } from '../status/yaml.ts';
import { Failure, usage } from './failure.ts';
import { git, readObjects } from './git.ts';
import { note, noteOnce } from './print.ts';
import type { Repository } from './repository.ts';

export interface StatusBranch {
  tip: Oid;
  /** The commit of the config branch that the operator saw last; absent: the tip is not Sluice's. */
  head?: Oid;
  /** A newer one that it does not work from. */
  held?: Held;
  /** When the operator last wrote, milliseconds since the epoch. */
  at: number;
}

/** The newest that is at hand, nothing is fetched; undefined: there is none. */
export async function knownStatus({ folder, statusRemote }: Repository): Promise<StatusBranch | undefined> {
  const refs = [STATUS_REF, ...(statusRemote === undefined ? [] : [trackingRef(statusRemote)])];
  const format = '--format=%(objectname) %(committerdate:unix)';
  const lines = await git(folder, ['for-each-ref', '--sort=-committerdate', '--count=1', format, ...refs]);
  const [tip, seconds] = lines.split(' ');
  if (!tip) return undefined;
  const message = await git(folder, ['show', '--no-patch', '--format=%B', tip]);
  const [head, held] = [headOfMessage(message), heldOfMessage(message)];
  return { tip, ...(head && { head }), ...(held && { held }), at: Number(seconds) * 1000 };
}

/** Asks the remote first, where there is one. What cannot be reached is said, and what is at hand is used. */
export async function freshStatus(repository: Repository): Promise<StatusBranch | undefined> {
  const { folder, statusRemote } = repository;
  if (statusRemote !== undefined) {
    const fetched = fetchStatus(folder, statusRemote);
    await fetched.catch((error: Error) => note(`could not ask ${statusRemote}: ${error.message}`));
  }
  return knownStatus(repository);
}

async function fetchStatus(folder: string, remote: string): Promise<void> {
  const refspec = `+${STATUS_REF}*:${trackingRef(remote)}*`;
  await git(folder, ['fetch', '--quiet', '--no-tags', remote, refspec], { timeoutMs: 20_000 });
}

const trackingRef = (remote: string) => STATUS_REF.replace('refs/heads/', `refs/remotes/${remote}/`);

/** Throws where there is no status branch: nothing can be said. */
export async function requireStatus(repository: Repository): Promise<StatusBranch> {
  const status = await freshStatus(repository);
  if (status === undefined) {
    throw new Failure(`${repository.folder} has no branch sluice/status yet; the operator writes it: sluice run`);
  }
  return status;
}

/** The status of one resource; throws a usage failure that lists the known ones when there is none. */
export async function readStatus(
  { folder }: Repository,
  { tip }: StatusBranch,
  id: ResourceId,
): Promise<StatusDocument> {
  const [content] = await readObjects(folder, [`${tip}:${statusPath(id)}`]);
  if (content !== undefined) return fromText(id, content);
  const known = (await statusFiles(folder, tip)).map((file) => file.id);
  throw usage(`nothing is known of ${id}; known: ${known.join(', ') || 'nothing yet'}`);
}

/** Every readable status; a file that somebody spoilt is named and left out. */
export async function readStatuses({ folder }: Repository, { tip }: StatusBranch): Promise<StatusDocument[]> {
  const files = await statusFiles(folder, tip);
  const contents = await readObjects(
    folder,
    files.map(({ oid }) => oid),
  );
  return files.flatMap(({ id }, index) => {
    try {
      return [fromText(id, contents[index] ?? Buffer.alloc(0))];
    } catch (error) {
      noteOnce((error as Error).message);
      return [];
    }
  });
}

async function statusFiles(folder: string, tip: Oid): Promise<{ id: ResourceId; oid: Oid }[]> {
  const listing = await git(folder, ['ls-tree', '-r', '-z', tip, `${STATUS_FOLDER}/`]);
  return listing.split('\0').flatMap((line) => {
    const [, oid = '', path = ''] = /^\d+ blob ([0-9a-f]+)\t(.*)$/.exec(line) ?? [];
    const id = resourceOfStatusPath(path);
    return id === undefined ? [] : [{ id, oid }];
  });
}

/** `12s ago`: how old what the operator last wrote is. */
export const ageText = (at: number, now: number): string => `${durationText(Math.max(0, now - at))} ago`;
