/** `image.yaml`: what an image of the target `local` runs. */
import type { FileDiagnostic } from './parsed.ts';
import type { Image, Oid } from './resource.ts';

export interface ParsedImage {
  /** Absent when it is not valid. */
  runs?: Pick<Image, 'command' | 'env' | 'drain'>;
  diagnostics: FileDiagnostic[];
}

/** An image folder of a commit. */
export interface ImageTree {
  tree: Oid;
  /** What its `image.yaml` says. */
  image: ParsedImage;
}

/** What a folder without an `image.yaml` comes to. */
export function missingImage(): ParsedImage {
  const message = 'there is no image.yaml in this folder; add one with a command, such as "command: [node, server.js]"';
  return { diagnostics: [{ at: [1, 1], path: '', severity: 'error', code: 'missing-image-yaml', message }] };
}
