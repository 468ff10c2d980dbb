/** A commit as tests write it: paths and their text, and image folders with their `image.yaml`. */
import { createHash } from 'node:crypto';
import { formatDiagnostic } from '../../src/manifest/diagnostic.ts';
import { parseFile } from '../../src/manifest/parse.ts';
import type { ManifestFile } from '../../src/manifest/parsed.ts';
import { type ImageTree, type Resolved, referencedImages, resolve } from '../../src/manifest/resolve.ts';
import type { Diagnostic } from '../../src/manifest/resource.ts';

export const oidOf = (text: string): string => createHash('sha1').update(text).digest('hex');

/** The same text gives the same `parsed` object, as it does in the operator. */
export function filesOf(texts: Record<string, string>, known = new Map<string, ManifestFile>()): ManifestFile[] {
  return Object.entries(texts).map(([path, text]) => {
    const oid = oidOf(text);
    const same = known.get(`${path} ${oid}`);
    const file = same ?? { path, oid, parsed: parseFile(text) };
    known.set(`${path} ${oid}`, file);
    return file;
  });
}

/** `images`: the text of `image.yaml` by folder; only those that are referenced are handed over. */
export function imagesOf(files: ManifestFile[], images: Record<string, string>): Map<string, ImageTree> {
  const asked = referencedImages(files);
  return new Map(
    Object.entries(images)
      .filter(([folder]) => asked.has(folder))
      .map(([folder, yaml]) => [folder, { tree: oidOf(`tree ${yaml}`), yaml }]),
  );
}

export const IMAGES = { 'images/web/1': 'command: [node, one.js]\n', 'images/web/2': 'command: [node, two.js]\n' };

/** Commits one after the other, each resolved as a difference from the last. */
export function repository(): (texts: Record<string, string>, images?: Record<string, string>) => Resolved {
  const known = new Map<string, ManifestFile>();
  let last: Resolved | undefined;
  return (texts, images = IMAGES) => {
    const files = filesOf(texts, known);
    last = resolve(last, files, imagesOf(files, images));
    return last;
  };
}

export const said = (diagnostics: Diagnostic[]): string[] =>
  diagnostics.map((found) => `${formatDiagnostic(found)} [${found.code}]`);
