/** How a diagnostic is written for people, for a Git host, and how its path and the values in it are. */
import type { Diagnostic } from './resource.ts';

/** `file:line:column path: message`. */
export function formatDiagnostic({ place, path, severity, message }: Diagnostic): string {
  const where = `${plain(place.file)}:${place.line}:${place.column}`;
  const what = severity === 'warning' ? `warning: ${message}` : message;
  return path === '' ? `${where}: ${what}` : `${where} ${path}: ${what}`;
}

/** A workflow command that GitHub and compatible hosts show beside the line. */
export function githubAnnotation({ place, path, severity, message }: Diagnostic): string {
  const properties = `file=${escapeProperty(place.file)},line=${place.line},col=${place.column}`;
  return `::${severity} ${properties}::${escapeData(path === '' ? message : `${path}: ${message}`)}`;
}

const escapeData = (text: string) => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
const escapeProperty = (text: string) => escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');

export type PathSegment = string | number;

/** `['spec', 'containers', 0, 'a b']` becomes `spec.containers[0]["a b"]`. */
export function formatPath(path: readonly PathSegment[]): string {
  let text = '';
  for (const segment of path) {
    if (typeof segment === 'number') text += `[${segment}]`;
    else if (!/^[\w-]{1,63}$/.test(segment)) text += `[${quote(segment)}]`;
    else text += text === '' ? segment : `.${segment}`;
  }
  return text;
}

const SHOWN = 60;

/** A value as JSON, cut where it is long, with nothing in it that a terminal would act on. */
export function quote(value: unknown): string {
  const cut = typeof value === 'string' && value.length > SHOWN ? `${value.slice(0, SHOWN)}…` : value;
  const text = JSON.stringify(cut) ?? String(cut);
  return plain(text.length > 2 * SHOWN ? `${text.slice(0, 2 * SHOWN)}…` : text);
}

/** Control characters and those that turn the direction of text, as `\uXXXX`. */
export function plain(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}
