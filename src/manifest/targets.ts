/** The targets that a commit declares, and the images that its resources name on them. */
import { digest } from './digest.ts';
import { DEFAULT_IMAGES, type Documents, ofHosts, plainPath, single } from './documents.ts';
import type { HostTarget, Target } from './target.ts';

export interface KnownTarget {
  target: Target;
  digest: string;
}

/** The valid ones that create what runs on them, by name; `local` is there without a manifest. */
export function validTargets(targets: Documents['targets']): Map<string, KnownTarget> {
  const known = new Map<string, KnownTarget>();
  for (const name of [...targets.keys()].sort()) {
    const entry = single(targets.get(name));
    if (typeof entry !== 'object' || entry.document.declares === undefined) continue;
    const { digest, ssh, ...declared } = entry.document.declares;
    if (ssh === undefined) known.set(name, { target: { name, ...declared }, digest });
  }
  if (!targets.has('local')) {
    const declared = { local: { images: DEFAULT_IMAGES } };
    known.set('local', { target: { name: 'local', ...declared }, digest: digest(declared) });
  }
  return known;
}

/** The valid ones that have hosts already. */
export function validHostTargets(targets: Documents['targets']): Map<string, HostTarget> {
  const known = new Map<string, HostTarget>();
  for (const name of [...targets.keys()].sort()) {
    const ssh = ofHosts(targets.get(name));
    if (ssh !== undefined) known.set(name, { name, ssh });
  }
  return known;
}

/** The folder of the config repository that holds a target's images; undefined where they lie on the machine or in a registry. */
export function imageFolder(target: Target | undefined): string | undefined {
  const folder = target?.local?.images;
  return folder === undefined || folder.startsWith('/') ? undefined : plainPath(folder);
}
