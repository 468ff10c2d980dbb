/**
 * Control groups, version 1 or 2, where the operator may make them: below its own group, or (version 2, where a group with
 * processes may have no groups below it) beside it. They hold limits of CPU and memory, and they hold together what descends from a
 * process, whatever it does. Groups outlive the operator.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseQuantity } from '../../manifest/quantity.ts';
import type { ResourceAmounts } from '../../manifest/resource.ts';
import { childrenOf } from './processes.ts';

type Controller = 'cpu' | 'memory';

/** The folder in which groups may be made, for each controller that may be used; `any`: for groups that limit nothing. */
export type Groups = Partial<Record<Controller | 'any', Parent>>;
interface Parent {
  folder: string;
  version: 1 | 2;
}

const PERIOD = 100_000;
const PREFIX = 'sluice-';

/** Finds out what is possible by making a group and removing it again. */
export function findGroups(): Groups {
  const groups: Groups = {};
  for (const controller of ['cpu', 'memory'] as const) {
    const found = candidates(controller).find((candidate) => works(controller, candidate));
    if (found !== undefined) groups[controller] = found;
  }
  // Version 2 first: there a group costs nothing.
  const any = [...candidates('any'), ...[groups.cpu, groups.memory].flatMap((parent) => parent ?? [])];
  const found = any.find((candidate) => works('any', candidate));
  return found === undefined ? groups : { ...groups, any: found };
}

function candidates(controller: Controller | 'any'): Parent[] {
  const own = lines('/proc/self/cgroup').map((line) => line.split(':'));
  return lines('/proc/self/mountinfo').flatMap((line): Parent[] => {
    // `35 31 0:32 /root /sys/fs/cgroup/memory rw … - cgroup cgroup rw,memory`
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root = '/', mount = ''] = before.split(' ');
    const [type, , options = ''] = after.split(' ');
    if (type !== 'cgroup' && type !== 'cgroup2') return [];
    if (type === 'cgroup' && !options.split(',').includes(controller)) return [];
    const [, , path = '/'] =
      own.find(([id, names = '']) => (type === 'cgroup2' ? id === '0' : names.split(',').includes(controller))) ?? [];
    const relative = root !== '/' && path.startsWith(root) ? path.slice(root.length) : path;
    const folder = join(mount, relative);
    if (type === 'cgroup') return [{ folder, version: 1 }];
    return [folder, dirname(folder)].flatMap((at) => (at.startsWith(mount) ? [{ folder: at, version: 2 }] : []));
  });
}

function works(controller: Controller | 'any', { folder, version }: Parent): boolean {
  const probe = join(folder, `${PREFIX}probe-${process.pid}`);
  try {
    if (controller !== 'any' && version === 2 && !enabled(folder, controller)) {
      writeFileSync(join(folder, 'cgroup.subtree_control'), `+${controller}`);
    }
    mkdirSync(probe);
    return existsSync(join(probe, controller === 'any' ? 'cgroup.procs' : limitFile(controller, version)));
  } catch {
    return false;
  } finally {
    removeFolder(probe);
  }
}

const enabled = (folder: string, controller: Controller) =>
  readFileSync(join(folder, 'cgroup.subtree_control'), 'utf8').split(/\s+/).includes(controller);

const limitFile = (controller: Controller, version: 1 | 2) =>
  controller === 'memory'
    ? { 1: 'memory.limit_in_bytes', 2: 'memory.max' }[version]
    : { 1: 'cpu.cfs_quota_us', 2: 'cpu.max' }[version];

/** The groups of one container or more, made by this operator or an earlier one. */
export interface ContainerGroups {
  /** Puts a process into those that limit it. Throws when the system refuses. */
  hold(pid: number): void;
  /**
   * Puts a process, and what it has started so far, into all of them; from then on nothing that it starts leaves them. The system
   * takes its time (10 ms), so this waits beside. Never throws: what is only to be found again can be found in other ways.
   */
  follow(pid: number): Promise<void>;
  /** Ids of the processes that are in them now. */
  members(): number[];
  /** Whether the system has ended a process in them because the memory limit was reached. */
  outOfMemory(): boolean;
  remove(): void;
}

const folderOf = (parent: Parent, name: string) => join(parent.folder, PREFIX + name);

const limitsOf = (limits: ResourceAmounts | undefined) => ({
  cpu: parseQuantity(limits?.cpu ?? ''),
  memory: parseQuantity(limits?.memory ?? ''),
});

/** Where the groups of a container are to be. `name` must be unique on the machine. */
export function groupFolders(groups: Groups, name: string, limits: ResourceAmounts | undefined): string[] {
  const { cpu, memory } = limitsOf(limits);
  const parents = [
    groups.any,
    cpu === undefined ? undefined : groups.cpu,
    memory === undefined ? undefined : groups.memory,
  ];
  return [...new Set(parents.flatMap((parent) => (parent === undefined ? [] : [folderOf(parent, name)])))];
}

/** Makes the groups of `groupFolders`. Limits that cannot be set here are left out; the precheck has said so. */
export function makeGroups(groups: Groups, name: string, limits: ResourceAmounts | undefined): ContainerGroups {
  const folders = groupFolders(groups, name, limits);
  for (const folder of folders) {
    removeFolder(folder);
    mkdirSync(folder, { recursive: true });
  }
  const limiting = new Set<string>();
  const { cpu, memory } = limitsOf(limits);
  if (cpu !== undefined && groups.cpu !== undefined) limiting.add(limitCpu(groups.cpu, name, cpu));
  if (memory !== undefined && groups.memory !== undefined) {
    const folder = folderOf(groups.memory, name);
    writeFileSync(join(folder, limitFile('memory', groups.memory.version)), String(Math.floor(memory)));
    limiting.add(folder);
  }
  return openGroups(folders, limiting);
}

/** A CPU of 0.5 is 50,000 µs in every 100,000. */
function limitCpu(parent: Parent, name: string, cpu: number): string {
  const folder = folderOf(parent, name);
  const quota = Math.max(1000, Math.round(cpu * PERIOD));
  if (parent.version === 1) writeFileSync(join(folder, 'cpu.cfs_period_us'), String(PERIOD));
  writeFileSync(
    join(folder, limitFile('cpu', parent.version)),
    parent.version === 1 ? `${quota}` : `${quota} ${PERIOD}`,
  );
  return folder;
}

export function openGroups(folders: string[], limiting = new Set<string>()): ContainerGroups {
  return {
    hold: (pid) => {
      for (const folder of limiting) hold(folder, pid);
    },
    async follow(pid) {
      for (const folder of folders) await follow(folder, pid);
    },
    members: () => folders.flatMap(membersOf),
    outOfMemory: () => folders.some(killed),
    remove: () => {
      for (const folder of folders) removeSoon(folder);
    },
  };
}

const procs = (folder: string) => join(folder, 'cgroup.procs');
const membersOf = (folder: string) => lines(procs(folder)).filter(Boolean).map(Number);

function hold(folder: string, pid: number): void {
  try {
    writeFileSync(procs(folder), String(pid));
  } catch (error) {
    // A process that has ended already needs no limit.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function follow(folder: string, pid: number): Promise<void> {
  for (let outside = [pid]; outside.length > 0; ) {
    const inside = new Set(membersOf(folder));
    const missing = outside.filter((id) => !inside.has(id));
    for (const id of missing) await writeFile(procs(folder), String(id)).catch(() => {});
    // What was started before its parent was in the group; what is started from now on is in it.
    const entered = new Set(membersOf(folder));
    outside = outside
      .filter((id) => entered.has(id))
      .flatMap(childrenOf)
      .filter((id) => !entered.has(id));
  }
}

/** Groups whose name begins like this, where a record that told their names is lost. */
export function findGroupsNamed(groups: Groups, beginning: string): string[] {
  const parents = new Set(Object.values(groups).map(({ folder }) => folder));
  return [...parents].flatMap((folder) =>
    entries(folder)
      .filter((name) => name.startsWith(PREFIX + beginning))
      .map((name) => join(folder, name)),
  );
}

function killed(folder: string): boolean {
  const counts = [...lines(join(folder, 'memory.events')), ...lines(join(folder, 'memory.oom_control'))];
  return counts.some((line) => /^oom_kill [1-9]/.test(line));
}

const TRIES = 20;
const AGAIN_MS = 100;

/** A process that has ended holds its group until it is collected: that may be a moment later. */
function removeSoon(folder: string, tries = TRIES): void {
  if (removeFolder(folder) || tries === 0) return;
  setTimeout(() => removeSoon(folder, tries - 1), AGAIN_MS).unref();
}

/** False: something is still in it; in the end it stays, empty of meaning, until the next attempt of that name. */
function removeFolder(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

function lines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').trim().split('\n');
  } catch {
    return [];
  }
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
