/** Targets whose HAProxy would listen where that of another does. PURE: validate and plan say it. */
import type { DockerTarget, Target } from '../../../manifest/target.ts';
import type { NotHonoured } from '../../local/honour.ts';

export const DEFAULT_LISTEN = '127.0.0.1:8081';

const listenOf = ({ router, listen = DEFAULT_LISTEN }: DockerTarget): string | undefined =>
  router === 'haproxy' ? listen : undefined;

/** Paths start at `spec` of a resource on the target `name`. */
export function sharedListen(name: string, targets: ReadonlyMap<string, Target>): NotHonoured[] {
  const docker = targets.get(name)?.docker;
  const mine = docker && listenOf(docker);
  if (mine === undefined) return [];
  return [...targets.values()].flatMap(({ name: other, docker: its }): NotHonoured[] => {
    const theirs = its && listenOf(its);
    if (other === name || theirs === undefined || !collide(mine, theirs)) return [];
    const message = `HAProxy of Target ${name} listens at ${mine} and that of Target ${other} at ${theirs}: only one of them can`;
    return [{ path: ['target'], result: 'fail', message, remedy: 'give one of them another `listen`' }];
  });
}

/** `0.0.0.0:8081` takes the port of every address. */
function collide(a: string, b: string): boolean {
  const [hostA, portA] = parted(a);
  const [hostB, portB] = parted(b);
  return portA === portB && (hostA === hostB || [hostA, hostB].some((host) => WILD.includes(host)));
}

const WILD = ['0.0.0.0', '[::]', '::', '*', ''];

function parted(listen: string): [host: string, port: string] {
  const colon = listen.lastIndexOf(':');
  return [listen.slice(0, colon), listen.slice(colon + 1)];
}
