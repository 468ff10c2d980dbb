/** What a Cluster asks for and the nodes of a Kubernetes target cannot be given. PURE: validate and plan say it too. */
import type { PathSegment } from '../../../manifest/diagnostic.ts';
import type { ClusterResource } from '../../../manifest/resource.ts';
import type { NotHonoured } from '../../local/honour.ts';
import { LONGEST_SCRIPT } from './script.ts';

/** Paths start at `spec`. */
export function notHonouredByNodes({ spec, runnable }: Pick<ClusterResource, 'spec' | 'runnable'>): NotHonoured[] {
  const { create, upgrade, prechecks } = spec;
  const { script, versionCommand, drain } = upgrade;
  const at = ['upgrade', 'script'];
  const found = [
    create !== undefined &&
      fail(['image'], 'the nodes of a Kubernetes cluster are there already', 'remove image, controlPlane and nodes'),
    script === undefined && fail(at, 'missing; nothing else upgrades a node', 'add what upgrades one node'),
    script !== undefined &&
      script.interpreter !== 'sh' &&
      fail([...at, 'interpreter'], `a node runs scripts of sh, not of ${script.interpreter}`, 'write it for sh'),
    Buffer.byteLength(runnable.script?.run ?? '') > LONGEST_SCRIPT &&
      fail(at, `longer than ${LONGEST_SCRIPT / 1024} KiB, which no node can be given`, 'let it fetch what it needs'),
    versionCommand !== undefined &&
      fail(['upgrade', 'versionCommand'], 'a node tells the version of its kubelet', 'remove it'),
    drain.command !== undefined &&
      fail(['upgrade', 'drain', 'command'], 'nodes are emptied through the Eviction API', 'remove it'),
    ...prechecks.map(
      (check, index) =>
        'command' in check &&
        fail(['prechecks', index, 'command'], 'no command runs on a node but the upgrade', 'use http, or remove it'),
    ),
  ];
  return found.filter((each) => each !== false);
}

const fail = (path: PathSegment[], message: string, remedy: string): NotHonoured => ({
  ...{ path, result: 'fail', message, remedy },
});
