/** A commit as tests write it: paths and their text, and image folders with their `image.yaml`. */
import { createHash } from 'node:crypto';
import { formatDiagnostic } from '../../src/manifest/diagnostic.ts';
import type { ImageTree } from '../../src/manifest/image.ts';
import { parseFile } from '../../src/manifest/parse.ts';
import { parseImage } from '../../src/manifest/parse-image.ts';
import type { ManifestFile, ParsedFile } from '../../src/manifest/parsed.ts';
import { empty } from '../../src/manifest/persistent-map.ts';
import { type Resolved, resolve } from '../../src/manifest/resolve.ts';
import type { Diagnostic } from '../../src/manifest/resource.ts';
import { type Survey, survey } from '../../src/manifest/survey.ts';

export const oidOf = (text: string): string => createHash('sha1').update(text).digest('hex');

/** Surveys one commit after the other; the same text gives the same file, as it does in the operator: `known` by `oidOf`. */
export function surveyor(known = new Map<string, ParsedFile>()): (texts: Record<string, string>) => Survey {
  const parsedOf = (oid: string, text: string): ParsedFile => {
    const parsed = known.get(oid) ?? parseFile(text);
    known.set(oid, parsed);
    return parsed;
  };
  let last: Survey | undefined;
  return (texts) => {
    const files = (last?.files ?? empty<string, ManifestFile>()).edit();
    for (const path of last?.files.keys() ?? []) if (!Object.hasOwn(texts, path)) files.delete(path);
    for (const [path, text] of Object.entries(texts)) {
      const oid = oidOf(text);
      if (files.get(path)?.oid !== oid) files.set(path, { path, oid, parsed: parsedOf(oid, text) });
    }
    last = survey(files.done(), last);
    return last;
  };
}

const trees = new Map<string, ImageTree>();

/** An image that did not change is the same object, as it is in the operator. */
function treeOf(yaml: string): ImageTree {
  const tree = trees.get(yaml) ?? { tree: oidOf(`tree ${yaml}`), image: parseImage(yaml) };
  trees.set(yaml, tree);
  return tree;
}

/** `images`: the text of `image.yaml` by folder; only those that are named are handed over. */
export function imagesOf({ images: named }: Survey, images: Record<string, string>): Map<string, ImageTree> {
  return new Map(
    Object.entries(images)
      .filter(([folder]) => named.has(folder))
      .map(([folder, yaml]) => [folder, treeOf(yaml)]),
  );
}

export const IMAGES = { 'images/web/1': 'command: [node, one.js]\n', 'images/web/2': 'command: [node, two.js]\n' };

/** Commits one after the other, each resolved as a difference from the last. */
export function repository(
  known?: Map<string, ParsedFile>,
): (texts: Record<string, string>, images?: Record<string, string>) => Resolved {
  const look = surveyor(known);
  let last: Resolved | undefined;
  return (texts, images = IMAGES) => {
    const found = look(texts);
    last = resolve(last, found, imagesOf(found, images));
    return last;
  };
}

export const said = (diagnostics: readonly Diagnostic[]): string[] =>
  diagnostics.map((found) => `${formatDiagnostic(found)} [${found.code}]`);
