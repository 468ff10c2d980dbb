/** What can be seen of an operator from outside, by /proc and the disk. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { type Place, routerPid } from '../e2e/support.ts';
import { git } from '../support/git-servers.ts';

export interface Sight {
  at: number;
  /** MiB, also of the router. */
  rss: number;
  router: number;
  /** Seconds of processor time so far, also of the processes that it started and that have ended. */
  cpu: number;
  descriptors: number;
  /** Processes that it started and that have not ended, or were not waited for. */
  children: number;
  /** MiB on the disk. */
  clone: number;
  repository: number;
  data: number;
  refs: number;
}

let router: number | undefined;

export function look(pid: number, at: Place): Omit<Sight, 'at'> {
  router ??= routerPid(at);
  return {
    rss: residentOf(pid),
    router: router === undefined ? 0 : residentOf(router),
    cpu: cpuOf(pid),
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    children: readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/).filter(Boolean).length,
    clone: sizeOf(at.state),
    repository: sizeOf(at.repo),
    data: sizeOf(at.data),
    refs: git(at.repo, ['for-each-ref', '--format=.']).split('\n').length,
  };
}

const residentOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024;

/** In ticks of 10 ms it says: user, system, and both of children that were waited for. */
function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / 100;
}

/** Files may go while they are counted. */
function sizeOf(folder: string): number {
  try {
    const text = execFileSync('sh', ['-c', 'du -sk "$0" 2>/dev/null || true', folder], { encoding: 'utf8' });
    return Number.parseInt(text, 10) / 1024;
  } catch {
    return Number.NaN;
  }
}

/** The command lines of all processes that carry the place's folder in their environment or arguments. */
export function unitsOf({ root }: Place): string[] {
  const text = (pid: string, file: string) => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, 'latin1');
    } catch {
      return '';
    }
  };
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  return pids
    .filter((pid) => text(pid, 'environ').includes(root) || text(pid, 'cmdline').includes(root))
    .map((pid) => text(pid, 'cmdline').replaceAll('\0', ' ').trim());
}
