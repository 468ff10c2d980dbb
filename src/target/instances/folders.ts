/**
 * Where the instances of a local target lie, in a folder of their own below the target's:
 *
 *     instances/epochs/, images/, units/, volumes/        as for replicas (`../folders.ts`): each process is a unit there
 *              /volumes/<Kind>-<name>/disk/instance/<instance>/    the instance: in this folder its scripts run
 *              /members/<Kind>-<name>/resource.json     what is held from going on by itself
 *                                    /<instance>/instance.json     the record
 *                                               /host/  what its scripts leave: attempts, their output, what undoes them
 */
import { join } from 'node:path';
import type { ResourceId } from '../../manifest/resource.ts';
import { resourceFolder, volumesFolder } from '../local/folders.ts';

/** All that a local target keeps of fleets and clusters. */
export const instancesFolder = (dataDir: string) => join(dataDir, 'instances');

export const INSTANCE_VOLUME = 'instance';
export const homeFolder = (root: string, resource: ResourceId, unit: string) =>
  join(volumesFolder(root, resource), 'disk', INSTANCE_VOLUME, unit);

export const membersFolder = (root: string) => join(root, 'members');
/** `Fleet/web` is the folder `Fleet-web`, as it is among the units. */
export const memberFolder = (root: string, resource: ResourceId) =>
  join(membersFolder(root), resourceFolder('', resource).slice('units/'.length));
export const instanceFolder = (root: string, resource: ResourceId, unit: string) =>
  join(memberFolder(root, resource), unit);
export const hostFolder = (root: string, resource: ResourceId, unit: string) =>
  join(instanceFolder(root, resource, unit), 'host');
