/** Everything that is wrong in a commit, by where it comes from, so that nothing is looked through that did not change. */
import { quote } from './diagnostic.ts';
import { type Documents, duplicates, type Entry, listOthers, placed } from './documents.ts';
import { changedKeys, changesOf } from './persistent-map.ts';
import type { Looked, Memo } from './resolve.ts';
import { placesOf } from './resolve-resource.ts';
import type { Diagnostic } from './resource.ts';
import type { FileChange } from './survey.ts';

type Note = (source: string, found: readonly Diagnostic[]) => void;
type Now = Pick<Memo, 'survey' | 'images' | 'made' | 'hosts' | 'instances'>;

/**
 * `files`: the manifests that are different; `looked`: the replicas that were looked at anew. What is found at one place is told in
 * the order of the numbers below.
 */
export function updateFindings(before: Memo, now: Now, files: readonly FileChange[], looked: Looked): Memo['findings'] {
  const findings = before.findings.edit();
  const note: Note = (source, found) => {
    if (found.length > 0) findings.set(source, found);
    else findings.delete(source);
  };
  for (const { path, before, after } of files) {
    const found = after?.parsed.diagnostics ?? [];
    if (found.length === 0 && (before?.parsed.diagnostics ?? []).length === 0) continue;
    note(
      `1 ${path}`,
      found.map((diagnostic) => placed(path, diagnostic)),
    );
  }
  noteDuplicates(before.survey.documents, now.survey.documents, note);
  for (const [id, { before, after }] of looked)
    if (before !== after && before?.diagnostics !== after?.diagnostics) note(`3 ${id}`, after?.diagnostics ?? []);
  for (const directory of changedKeys(before.images, now.images)) {
    const found = now.images.get(directory)?.image.diagnostics ?? [];
    note(
      `4 ${directory}`,
      found.map((diagnostic) => placed(`${directory}/image.yaml`, diagnostic)),
    );
  }
  for (const host of sharedHosts(before, now, looked)) note(`5 ${host}`, hostDiagnostics(now, host));
  if (before.instances !== now.instances) note('6', now.instances.diagnostics);
  return findings.done();
}

/** By place; those of one place always in the same order. */
export function sortedDiagnostics(findings: Memo['findings']): Diagnostic[] {
  const sources = [...findings].sort(([a], [b]) => compare(a, b));
  return sources.flatMap(([, found]) => found).sort(byPlace);
}

function noteDuplicates(before: Documents, now: Documents, note: Note): void {
  for (const sort of Object.keys(now) as (keyof Documents)[]) {
    const [was, is] = [before[sort], now[sort]] as ReadonlyMap<string, readonly Entry[]>[];
    if (was === undefined || is === undefined) continue;
    for (const { key: name, before = [], after = [] } of changesOf(was, is))
      if (before.length > 1 || after.length > 1) note(`2 ${sort} ${name}`, duplicates(after));
  }
}

/** Those that more than one has, or had, of which one was looked at anew. */
function sharedHosts(before: Memo, now: Now, looked: Looked): Set<string> {
  const hosts = new Set<string>();
  const look = (host: string | undefined) => {
    if (host === undefined) return;
    if ((before.hosts.get(host) ?? []).length > 1 || (now.hosts.get(host) ?? []).length > 1) hosts.add(host);
  };
  for (const { before: was, after: is } of looked.values()) {
    look(was?.resource?.spec.host);
    look(is?.resource?.spec.host);
  }
  return hosts;
}

/** The router could serve only one of several, so it serves none of them anew. */
function hostDiagnostics({ made, hosts }: Now, host: string): Diagnostic[] {
  const ids = hosts.get(host) ?? [];
  if (ids.length < 2) return [];
  return ids.flatMap((id) => {
    const entry = made.get(id)?.sources.entry;
    if (entry === undefined) return [];
    const { declares, at } = entry.document;
    const [line, column] = declares === undefined ? at : placesOf(declares).host;
    return {
      place: { file: entry.path, line, column },
      path: 'spec.host',
      severity: 'error',
      code: 'duplicate-host',
      message: `the host ${quote(host)} is also that of ${listOthers(ids, id, String)}, which makes all of them invalid; give each a host of its own`,
      resource: id,
    };
  });
}

const byPlace = (a: Diagnostic, b: Diagnostic) =>
  compare(a.place.file, b.place.file) || a.place.line - b.place.line || a.place.column - b.place.column;
const compare = (a: string, b: string) => (a < b ? -1 : Number(a > b));
