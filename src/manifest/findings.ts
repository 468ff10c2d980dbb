/** Everything that is wrong in a commit, by where it comes from, so that nothing is looked through that did not change. */
import { quote } from './diagnostic.ts';
import { type Documents, duplicates, type Entry, listOthers, placed } from './documents.ts';
import { changedKeys } from './persistent-map.ts';
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
    if (found.length === 0 && before.findings.size === 0) return;
    if (found.length > 0) findings.set(source, found);
    else findings.delete(source);
  };
  for (const { path, after } of files)
    note(
      `1 ${path}`,
      (after?.parsed.diagnostics ?? []).map((diagnostic) => placed(path, diagnostic)),
    );
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
    for (const name of changedKeys(was, is)) note(`2 ${sort} ${name}`, duplicates(is.get(name) ?? []));
  }
}

/** Those that more than one has, or had, of which one was looked at anew. */
function sharedHosts(before: Memo, now: Now, looked: Looked): Set<string> {
  const hosts = new Set<string>();
  for (const { before: was, after: is } of looked.values())
    for (const made of [was, is]) {
      const host = made?.resource?.spec.host;
      if (host !== undefined) hosts.add(host);
    }
  for (const host of hosts) {
    const most = Math.max(before.hosts.get(host)?.length ?? 0, now.hosts.get(host)?.length ?? 0);
    if (most < 2) hosts.delete(host);
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
