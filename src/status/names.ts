/** Names of refs, branches and files. Kinds are in lower case in all of them: `status/service/shop.yaml`. */
import type { Kind, ResourceId, Revision } from '../manifest/resource.ts';

export const STATUS_REF = 'refs/heads/sluice/status';
export const STATUS_FOLDER = 'status';
export const OVERVIEW_PATH = 'STATUS.md';
export const TAG_PREFIX = 'refs/tags/sluice/';
export const KEEP_PREFIX = 'refs/sluice/keep/';

const KINDS: Record<string, Kind> = {
  workload: 'Workload',
  service: 'Service',
  fleet: 'Fleet',
  cluster: 'Cluster',
};
const KIND = Object.keys(KINDS).join('|');
const NAME = '[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?';

const STATUS_PATH = new RegExp(`^${STATUS_FOLDER}/(${KIND})/(${NAME})\\.yaml$`);
const TAG_REF = new RegExp(`^${TAG_PREFIX}(${KIND})/(${NAME})/([1-9][0-9]{0,14})$`);
const KEEP_REF = new RegExp(`^${KEEP_PREFIX}(${KIND})/(${NAME})/([0-9a-f]{10})$`);

/** `Service/shop` → `service/shop`. */
function lower(id: ResourceId): string {
  const slash = id.indexOf('/');
  return id.slice(0, slash).toLowerCase() + id.slice(slash);
}

function resourceOf(kind: string | undefined, name: string | undefined): ResourceId | undefined {
  const known = kind === undefined ? undefined : KINDS[kind];
  return known === undefined || name === undefined ? undefined : `${known}/${name}`;
}

/** `Service/shop` → `status/service/shop.yaml`. */
export const statusPath = (id: ResourceId): string => `${STATUS_FOLDER}/${lower(id)}.yaml`;

/** Undefined: not the path of a status file. */
export function resourceOfStatusPath(path: string): ResourceId | undefined {
  const match = STATUS_PATH.exec(path);
  return resourceOf(match?.[1], match?.[2]);
}

/** The short name of the tag of a rollout that succeeded: `sluice/service/shop/7`. */
export const tagName = (id: ResourceId, rollout: number): string => `sluice/${lower(id)}/${rollout}`;
export const tagRef = (id: ResourceId, rollout: number): string => `refs/tags/${tagName(id, rollout)}`;

export function rolloutOfTagRef(ref: string): { resource: ResourceId; rollout: number } | undefined {
  const match = TAG_REF.exec(ref);
  const resource = resourceOf(match?.[1], match?.[2]);
  return resource === undefined ? undefined : { resource, rollout: Number(match?.[3]) };
}

/** Holds the commit of a revision that runs or can be gone back to: `refs/sluice/keep/service/shop/ab12cd34ef`. */
export const keepRef = (id: ResourceId, revision: Revision): string => `${KEEP_PREFIX}${lower(id)}/${revision}`;

export function revisionOfKeepRef(ref: string): { resource: ResourceId; revision: Revision } | undefined {
  const match = KEEP_REF.exec(ref);
  const resource = resourceOf(match?.[1], match?.[2]);
  return resource === undefined ? undefined : { resource, revision: match?.[3] ?? '' };
}

/** The branch that `onFailure: revert` proposes: `sluice/revert/service-shop-7`. */
export const revertBranch = (id: ResourceId, rollout: number): string =>
  `sluice/revert/${lower(id).replace('/', '-')}-${rollout}`;
