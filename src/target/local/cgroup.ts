/**
 * CPU and memory limits through control groups, version 1 or 2, where the operator may make them: below its own group, or
 * (version 2, where a group with processes may have no groups below it) beside it. Groups outlive the operator.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseQuantity } from '../../manifest/quantity.ts';
import type { ResourceAmounts } from '../../manifest/resource.ts';

type Controller = 'cpu' | 'memory';

/** The folder in which groups may be made, for each controller that may be used. */
export type Groups = Partial<Record<Controller, Parent>>;
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
  return groups;
}

function candidates(controller: Controller): Parent[] {
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

function works(controller: Controller, { folder, version }: Parent): boolean {
  const probe = join(folder, `${PREFIX}probe-${process.pid}`);
  try {
    if (version === 2 && !enabled(folder, controller)) {
      writeFileSync(join(folder, 'cgroup.subtree_control'), `+${controller}`);
    }
    mkdirSync(probe);
    return existsSync(join(probe, limitFile(controller, version)));
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

/** The groups of one container: to be entered by its process, and to be removed when nothing runs in it any more. */
export interface Limits {
  enter(pid: number): void;
  /** Whether the system has ended a process in it because its memory limit was reached. */
  outOfMemory(): boolean;
  remove(): void;
}

/** `name` must be unique on the machine. Limits that cannot be set here are left out; the precheck has said so. */
export function makeLimits(groups: Groups, name: string, limits: ResourceAmounts | undefined): Limits {
  const made: string[] = [];
  const make = (controller: Controller, value: number) => {
    const group = groups[controller];
    if (group === undefined) return;
    const folder = join(group.folder, PREFIX + name);
    if (!made.includes(folder)) {
      removeFolder(folder);
      mkdirSync(folder, { recursive: true });
      made.push(folder);
    }
    if (controller === 'cpu' && group.version === 1) writeFileSync(join(folder, 'cpu.cfs_period_us'), String(PERIOD));
    // A CPU of 0.5 is 50,000 µs in every 100,000.
    const text = controller === 'memory' ? value : Math.max(1000, Math.round(value * PERIOD));
    const both = controller === 'cpu' && group.version === 2 ? `${text} ${PERIOD}` : String(text);
    writeFileSync(join(folder, limitFile(controller, group.version)), both);
  };
  const cpu = parseQuantity(limits?.cpu ?? '');
  const memory = parseQuantity(limits?.memory ?? '');
  if (cpu !== undefined) make('cpu', cpu);
  if (memory !== undefined) make('memory', Math.floor(memory));
  return {
    enter: (pid) => {
      for (const folder of made) enter(folder, pid);
    },
    outOfMemory: () => made.some((folder) => killed(folder)),
    remove: () => made.forEach(removeFolder),
  };
}

/** The groups that an earlier operator made for a container. */
export function findLimits(groups: Groups, name: string): Pick<Limits, 'remove' | 'outOfMemory'> {
  const folders = [...new Set(Object.values(groups).map((group) => join(group.folder, PREFIX + name)))];
  return { remove: () => folders.forEach(removeFolder), outOfMemory: () => folders.some(killed) };
}

function enter(folder: string, pid: number): void {
  try {
    writeFileSync(join(folder, 'cgroup.procs'), String(pid));
  } catch (error) {
    // A process that has ended already needs no limit.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function killed(folder: string): boolean {
  const counts = [...lines(join(folder, 'memory.events')), ...lines(join(folder, 'memory.oom_control'))];
  return counts.some((line) => /^oom_kill [1-9]/.test(line));
}

function removeFolder(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Not there, or something still runs in it: then it stays, empty of meaning, until the next attempt of that name.
  }
}

function lines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').trim().split('\n');
  } catch {
    return [];
  }
}
