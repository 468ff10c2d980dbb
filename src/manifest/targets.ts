/** The targets that a commit declares, and the images that its resources name on them. */
import { digest } from './digest.ts';
import { DEFAULT_IMAGES, type Entry, manifestsOf, single } from './documents.ts';
import type { ManifestFile, TargetDocument } from './parsed.ts';
import { imageDirectory } from './references.ts';
import type { Target } from './resource.ts';

export interface KnownTarget {
  target: Target;
  digest: string;
}

/** The valid ones that create what runs on them, by name; `local` is there without a manifest. */
export function validTargets(targets: ReadonlyMap<string, Entry<TargetDocument>[]>): Map<string, KnownTarget> {
  const known = new Map<string, KnownTarget>();
  for (const [name, entries] of targets) {
    const entry = single(entries);
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

/** The folder of the config repository that holds a target's images; undefined where they lie on the machine or in a registry. */
export function imageFolder(target: Target | undefined): string | undefined {
  const folder = target?.local?.images;
  return folder?.startsWith('/') ? undefined : folder;
}

/** The image folders that the caller must look up before it calls `resolve`, e.g. `images/hello/8`. */
export function referencedImages(files: readonly ManifestFile[]): Set<string> {
  const manifests = manifestsOf(files);
  const targets = validTargets(targetsOf(manifests));
  const names = new Map<string, Set<string>>();
  for (const { parsed } of manifests)
    for (const document of parsed.documents) {
      if (!('declares' in document && document.declares !== undefined && 'images' in document.declares)) continue;
      const folder = imageFolder(targets.get(document.declares.spec.target)?.target);
      if (folder === undefined) continue;
      const known = names.get(folder) ?? new Set();
      names.set(folder, known);
      for (const { name } of document.declares.images) known.add(name);
    }
  return new Set([...names].flatMap(([folder, known]) => [...known].map((name) => imageDirectory(folder, name))));
}

function targetsOf(files: readonly ManifestFile[]): Map<string, Entry<TargetDocument>[]> {
  const targets = new Map<string, Entry<TargetDocument>[]>();
  for (const { path, oid, parsed } of files)
    for (const document of parsed.documents)
      if (document.kind === 'Target')
        targets.set(document.name, [...(targets.get(document.name) ?? []), { document, path, oid }]);
  return targets;
}
