/** The config repository of a simulated world, as people write it. */
import type { Kind, Oid, ResourceId } from '../../src/manifest/resource.ts';
import { CHOICES, type Draft, fieldsOf, HERE, HOSTS_OF, hostsText, manifestText, operationText } from './drafts.ts';
import { MAIN, type Remote } from './git.ts';

export interface Declared {
  id: ResourceId;
  kind: Kind;
  name: string;
}

interface Snapshot {
  files: ReadonlyMap<string, string>;
  drafts: ReadonlyMap<ResourceId, Draft>;
}

export interface Config {
  resources: Declared[];
  /** What each resource that is declared validly at the head is declared as. */
  drafts(): ReadonlyMap<ResourceId, Draft>;
  /** Names of resources whose file is there, valid or not. */
  present(id: ResourceId): boolean;
  /** `all`: of every resource, in one commit. */
  edit(resource: number, field: number, value: number, all: boolean): void;
  /** Several fields of one resource. */
  set(resource: number, draft: Draft): void;
  revert(back: number): void;
  break(resource: number, how: number): void;
  delete(resource: number, all: boolean): void;
  confirm(): void;
  label(resource: number, hosts: number): void;
  operate(name: string, spec: Record<string, string | number>): void;
  rewrite(back: number): void;
  /** What was thrown away is brought back into the history of the branch, as by a merge that takes nothing of it. */
  merge(): void;
  /** Whether it was ever deleted, and with everybody's consent. */
  deletion(id: ResourceId): 'present' | 'unconfirmed' | 'agreed';
  /** A commit that changes nothing that is declared. */
  nudge(): void;
  /** The commits of the branch, oldest first. */
  commits(): readonly Oid[];
}

const BROKEN = [
  'apiVersion: sluice/v1\nkind: KIND\nmetadata: {name: NAME}\nspec: {replicas: many, unheard: of}\n',
  'apiVersion: sluice/v1\nkind: KIND\nmetadata: {name: NAME\n',
  'kind: [KIND\n  - *nothing\n',
];

export function createConfig(remote: Remote, kinds: readonly Kind[]): Config {
  const resources = kinds.map((kind, index): Declared => {
    const name = `r${index}`;
    return { id: `${kind}/${name}`, kind, name };
  });
  const snapshots = new Map<Oid, Snapshot>();
  let log: Oid[] = [];
  let abandoned: Oid[] = [];
  let files = new Map<string, string>();
  let drafts = new Map<ResourceId, Draft>();

  const fileOf = ({ name }: Declared) => `${name}.yaml`;
  const pick = (index: number): Declared => resources[index % resources.length] as Declared;
  const head = () => remote.refs.get(MAIN);

  function commit(message: string, parents = log.slice(-1)): void {
    const oid = remote.commit(files, parents, message);
    snapshots.set(oid, { files: new Map(files), drafts: new Map(drafts) });
    for (const text of files.values()) if (text.includes('confirmDeletion')) agreed.add(text);
    log.push(oid);
    every.push(oid);
    remote.force(MAIN, oid);
  }

  /** Every commit that there ever was, in the order in which they were made. */
  const every: Oid[] = [];
  const has = (oid: Oid | undefined, { name }: Declared) =>
    snapshots.get(oid ?? '')?.files.has(`${name}.yaml`) === true;

  /** Over half of what was there before is gone, or the last of a kind. */
  function guarded(before: Oid, after: Oid, gone: Declared): boolean {
    const there = resources.filter((one) => has(before, one));
    const left = there.filter((one) => has(after, one));
    return (there.length - left.length) * 2 > there.length || !left.some(({ kind }) => kind === gone.kind);
  }

  /** Ever: what was agreed to holds, though its file goes, or the history in which it was. */
  const agreed = new Set<string>();
  const confirmed = (oid: Oid): boolean => [...agreed].some((text) => text.includes(oid));

  function declare(resource: Declared, draft: Draft): void {
    drafts.set(resource.id, draft);
    files.set(fileOf(resource), manifestText(resource.kind, resource.name, draft));
  }

  function take(snapshot: Snapshot): void {
    files = new Map(snapshot.files);
    drafts = new Map(snapshot.drafts);
  }

  files.set('here.yaml', HERE);
  for (const resource of resources) {
    if (HOSTS_OF[resource.kind]) files.set(`${resource.name}-hosts.yaml`, hostsText(resource.kind, resource.name));
    declare(resource, {});
  }
  commit('begin');

  return {
    resources,
    drafts: () => drafts,
    present: (id) => files.has(`${id.slice(id.indexOf('/') + 1)}.yaml`),
    commits: () => log,
    /** Lenient where an operator that sees several commits at once may see otherwise. */
    deletion(id) {
      const gone = resources.find((one) => one.id === id);
      if (gone === undefined || every.every((oid) => has(oid, gone))) return 'present';
      const without = every.filter((oid, index) => index > 0 && !has(oid, gone));
      const isAgreed = without.some((oid) => {
        const before = every.slice(0, every.indexOf(oid)).filter((earlier) => has(earlier, gone));
        return before.some((earlier) => !guarded(earlier, oid, gone)) || confirmed(oid);
      });
      return isAgreed ? 'agreed' : 'unconfirmed';
    },
    edit(index, fieldIndex, value, all) {
      for (const resource of all ? resources : [pick(index)]) {
        const fields = fieldsOf(resource.kind);
        const field = fields[fieldIndex % fields.length] ?? '';
        const choices = CHOICES[resource.kind][field]?.length ?? 1;
        declare(resource, { ...drafts.get(resource.id), [field]: value % choices });
      }
      commit('edit');
    },
    set(index, draft) {
      const resource = pick(index);
      declare(resource, { ...drafts.get(resource.id), ...draft });
      commit('set');
    },
    /** As `git revert` of the last commits one after the other: what was before them is there again. Operations stay. */
    revert(back) {
      const before = snapshots.get(log[Math.max(0, log.length - 2 - back)] ?? '');
      if (before === undefined) return;
      const operations = [...files].filter(([path]) => path.startsWith('operations/'));
      take(before);
      for (const [path, text] of operations) files.set(path, text);
      commit('revert');
    },
    break(index, how) {
      const resource = pick(index);
      const text = BROKEN[how % BROKEN.length] ?? '';
      files.set(fileOf(resource), text.replace('KIND', resource.kind).replace('NAME', resource.name));
      drafts.delete(resource.id);
      commit('break');
    },
    delete(index, all) {
      for (const resource of all ? resources : [pick(index)]) {
        files.delete(fileOf(resource));
        drafts.delete(resource.id);
      }
      commit('delete');
    },
    /** Of every commit that may have deleted something: the newest ones. */
    confirm() {
      for (const oid of log.slice(-8)) {
        const name = `confirm-${oid.slice(0, 12)}`;
        files.set(`operations/${name}.yaml`, operationText(name, { action: 'confirmDeletion', commit: `"${oid}"` }));
      }
      commit('confirm');
    },
    label(index, hosts) {
      const resource = pick(index);
      const labelled = (HOSTS_OF[resource.kind] ?? []).filter((_, at) => (hosts >> at) & 1);
      if (resource.kind !== 'Fleet') return;
      files.set(`${resource.name}-hosts.yaml`, hostsText(resource.kind, resource.name, labelled));
      commit('label');
    },
    operate(name, spec) {
      files.set(`operations/${name}.yaml`, operationText(name, spec));
      commit(`operation ${name}`);
    },
    merge() {
      if (abandoned.length === 0) return;
      commit('merge', [...log.slice(-1), ...abandoned]);
      abandoned = [];
    },
    nudge() {
      files.set('README', `${every.length}\n`);
      commit('nudge');
    },
    /** The newest commits are thrown away, and another stands in their place. */
    rewrite(back) {
      const kept = log.slice(0, Math.max(1, log.length - 1 - back));
      const before = snapshots.get(kept.at(-1) ?? '');
      if (before === undefined || head() === undefined) return;
      abandoned.push(...log.slice(kept.length).slice(-1));
      log = [...kept];
      take(before);
      commit(`rewritten at ${snapshots.size}`);
    },
  };
}
