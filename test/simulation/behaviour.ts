/** How what a manifest declares behaves: it stands in the name of an image or the text of a script, `app:3-slow`. */

/** `ok`: ready in a second; `slow`: in half a minute; `never`: never ready; `crash`: exits at once; `dies`: exits after a
 * while; `flaps`: ready and unready by turns; `unwell`: ready, but no check passes. */
export const RELEASES = ['ok', 'ok', 'ok', 'slow', 'never', 'crash', 'dies', 'flaps', 'unwell'] as const;
export type Release = (typeof RELEASES)[number];

/** Of a script on an instance. `lost`: its process goes and leaves no outcome; `hangs`: until its timeout; `unwell`: it
 * ends well, and the instance is not; `late`: it takes half a minute. */
export const SCRIPTS = ['ok', 'ok', 'ok', 'late', 'fails', 'lost', 'hangs', 'unwell'] as const;
export type ScriptBehaviour = (typeof SCRIPTS)[number];

const after = (text: string): string => /-([a-z]+)\b/.exec(text)?.[1] ?? 'ok';

export const releaseOf = (image: string): Release =>
  (RELEASES as readonly string[]).includes(after(image)) ? (after(image) as Release) : 'ok';

export const scriptOf = (text: string | undefined): ScriptBehaviour =>
  (SCRIPTS as readonly string[]).includes(after(text ?? '')) ? (after(text ?? '') as ScriptBehaviour) : 'ok';

/** Milliseconds from a start to the first time ready; undefined: never. */
export function readyAfter(release: Release): number | undefined {
  if (release === 'never' || release === 'crash') return undefined;
  return release === 'slow' ? 30_000 : 1000;
}
