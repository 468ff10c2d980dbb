/** Paths that must stay where they belong. */

const climbs = (path: string) => path.split('/').includes('..');

/** What is wrong with a path inside of something, undefined when nothing is. */
export function badPath(path: string): string | undefined {
  if (climbs(path)) return 'must not contain ".."; write the path without it';
  if (path.includes('\\')) return 'must not contain a backslash; write "/" between folders';
  if (/\p{Cc}/u.test(path)) return 'must not contain control characters; remove them';
  return undefined;
}
