/**
 * Which commits may be read for what runs: those that the config branch reaches, or reached when it was worked from. What
 * the status branch names is only a name: whoever can write there must not choose a commit of their own.
 */
import type { Oid } from '../manifest/resource.ts';
import type { Clone } from './clone.ts';
import { reaches } from './history.ts';

/** Heads that the branch has left behind, by an amended commit or an accepted rewrite: in the clone, the newest last. */
const LEFT_NOTE = 'left-heads';
const KEPT = 200;

/** The ref of the clone that holds the last good commit of a branch, apart from what was fetched; and from what was not verified, where that is asked. */
export function goodRef(ref: string, verified = false): string {
  return `refs/sluice-internal/${verified ? 'verified' : 'good'}/${encodeURIComponent(ref)}`;
}

type Read = Pick<Clone, 'objects' | 'notes' | 'refs'>;

export async function isAccepted(clone: Read, ref: string, verified: boolean, commit: Oid): Promise<boolean> {
  const head = await clone.refs.read(goodRef(ref, verified));
  if (head === undefined) return false;
  return (
    (await reaches(clone.objects, [head], commit)) || (await reaches(clone.objects, await leftHeads(clone), commit))
  );
}

async function leftHeads({ notes }: Pick<Clone, 'notes'>): Promise<Oid[]> {
  return ((await notes.read(LEFT_NOTE)) ?? '').split('\n').filter((line) => line !== '');
}

/** To be called before another head that may not follow it takes its place. */
export async function noteLeft(clone: Pick<Clone, 'notes'>, head: Oid): Promise<void> {
  const heads = (await leftHeads(clone)).filter((each) => each !== head);
  await clone.notes.write(
    LEFT_NOTE,
    [...heads, head]
      .slice(-KEPT)
      .map((each) => `${each}\n`)
      .join(''),
  );
}
