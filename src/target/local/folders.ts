/**
 * Where everything of a local target lies:
 *
 *     epochs/<epoch>/                                   of the operator that acts here (`epoch.ts`)
 *     images/<tree>/                                    an image of the config repository, written once
 *     units/<Kind>-<name>/<unit>/unit.json              the record
 *                               /runnable.json          what it runs, as the commit holds it: no secret is in it
 *                               /logs/<container>/      its output; outlives its attempts
 *                               /run/                   of one attempt: working directories, emptyDir, configMap, secret
 *     volumes/<Kind>-<name>/disk/<volume>/<unit>/       a unit's own; outlives the unit
 *                          /file/<volume>/              shared by all units
 */
import { join } from 'node:path';
import type { Kind, ResourceId } from '../../manifest/resource.ts';

/** `Workload/tomcat` is the folder `Workload-tomcat`. */
const folderName = (resource: ResourceId) => resource.replace('/', '-');

/** The resource of a folder name, or undefined where it is none of ours. */
export function resourceOf(folder: string): ResourceId | undefined {
  const [, kind, name] = /^(Workload|Service|Fleet|Cluster)-([a-z0-9][-a-z0-9]*)$/.exec(folder) ?? [];
  return kind === undefined ? undefined : `${kind as Kind}/${name}`;
}

export const imagesFolder = (dataDir: string) => join(dataDir, 'images');
export const unitsFolder = (dataDir: string) => join(dataDir, 'units');
export const resourceFolder = (dataDir: string, resource: ResourceId) =>
  join(unitsFolder(dataDir), folderName(resource));
export const unitFolder = (dataDir: string, resource: ResourceId, unit: string) =>
  join(resourceFolder(dataDir, resource), unit);
export const volumesFolder = (dataDir: string, resource: ResourceId) => join(dataDir, 'volumes', folderName(resource));
export const logsFolder = (unit: string, container: string) => join(unit, 'logs', container);
/** The working directory of a container that names none: its image's entries and, over them, its mounts. */
export const workFolder = (unit: string, container: string) => join(unit, 'run', 'containers', container);
export const attemptVolumes = (unit: string) => join(unit, 'run', 'volumes');
