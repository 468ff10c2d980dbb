/** Makes what the pods of a revision need: its ReplicaSet, still without pods, what it mounts, and the storage that is shared. */
import type { ResourceId, Runnable } from '../../manifest/resource.ts';
import { secretNames } from '../local/describe.ts';
import type { SecretSource } from '../ports.ts';
import { type Kube, type KubeObject, statusOf } from './client.ts';
import { checkKubernetesEpoch } from './epoch.ts';
import { type Fence, removeExactly } from './fence.ts';
import type { Images } from './images.ts';
import { ANNOTATION, corePath, partName, resourceOf, type Scope, type SetId, setName, setsPath } from './names.ts';
import { claims, configMap, contentDigest, replicaSet, type SecretContent, secret } from './objects.ts';
import { setView } from './view.ts';

export interface Making {
  kube: Kube;
  fence: Fence;
  scope: Scope;
  epoch: number;
  secrets: SecretSource;
  drainSeconds: number;
  images: Pick<Images, 'pin'>;
  log(message: string, details: Record<string, unknown>): void;
}

const asSluice = { fieldManager: 'sluice' };

/** A ReplicaSet that is there without replicas is brought to what it would be if it were made now; one that has some is left as it is. */
export async function makeSet(making: Making, set: SetId, declared: Runnable): Promise<KubeObject> {
  const { kube, fence, scope, drainSeconds, images, log } = making;
  const runnable = await images.pin(declared, (image, { message }) =>
    log(`${message}: the nodes resolve the tag of ${image} themselves`, { resource: set.resource }),
  );
  const content = await contentOf(making, runnable);
  const owned = { configMaps: new Set(Object.keys(runnable.configMaps)), secrets: new Set(content.keys()) };
  const object = replicaSet(runnable, { scope, set, owned, drainSeconds });
  const made = (await fence.apply(setsPath(scope, setName(set)), (found) => {
    refuseOthers(scope, set.resource, found);
    return found !== undefined && setView(found).replicas > 0 ? undefined : object;
  })) as KubeObject;
  const { name, uid } = made.metadata;
  const owner = { name, uid };
  for (const [part, each] of Object.entries(runnable.configMaps))
    await createPart(kube, corePath(scope, 'configmaps'), configMap(scope, set, part, each, owner));
  for (const [part, each] of content) await putSecret(making, set, part, each, owner);
  for (const claim of claims(runnable, scope))
    await createPart(kube, corePath(scope, 'persistentvolumeclaims'), claim.object);
  return made;
}

/** Throws where what is there is not of this resource. */
export function refuseOthers(scope: Scope, resource: ResourceId, found: KubeObject | undefined): void {
  if (found === undefined || resourceOf(found.metadata.labels) === resource) return;
  throw new Error(
    `namespace ${scope.namespace} has a ${found.kind} ${found.metadata.name} that is not of ${resource}; delete it, or give the resource another name`,
  );
}

/** What is there already is right: it is immutable, and its name is that of the revision. */
async function createPart(kube: Kube, path: string, body: object): Promise<void> {
  try {
    await kube.ask('POST', path, { body, query: asSluice });
  } catch (error) {
    if (statusOf(error) !== 409) throw error;
  }
}

/** Of those of `--secrets-dir`. The others are those of the namespace, which the pods name as they are. */
async function contentOf({ secrets }: Making, { template }: Runnable): Promise<Map<string, SecretContent>> {
  const found = new Map<string, SecretContent>();
  for (const name of secretNames(template.spec)) {
    const content = await secrets.read(name);
    if (content !== undefined) found.set(name, content);
  }
  return found;
}

/** A secret that was changed since the revision ran last is made anew: no pod has it now. */
async function putSecret(
  { kube, scope, epoch }: Making,
  set: SetId,
  part: string,
  content: SecretContent,
  owner: { name: string; uid: string },
): Promise<void> {
  const path = corePath(scope, 'secrets', partName(set, part));
  const found = await kube.find<KubeObject>(path);
  if (found?.metadata.annotations?.[ANNOTATION.content] === contentDigest(content)) return;
  // What a later operator has made was made after it had taken over.
  await checkKubernetesEpoch(kube, scope, epoch);
  if (found !== undefined) await removeExactly(kube, path, found);
  await createPart(kube, corePath(scope, 'secrets'), secret(scope, set, part, content, owner));
}
