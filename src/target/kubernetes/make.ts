/** Makes what the pods of a revision need: its ReplicaSet, still without pods, what it mounts, and the storage that is shared. */
import type { Runnable } from '../../manifest/resource.ts';
import { secretNames } from '../local/describe.ts';
import type { SecretSource } from '../ports.ts';
import { type Kube, type KubeObject, statusOf } from './client.ts';
import { ANNOTATION, corePath, partName, resourceOf, type Scope, type SetId, setName, setsPath } from './names.ts';
import { claims, configMap, contentDigest, replicaSet, type SecretContent, secret } from './objects.ts';

export interface Making {
  kube: Kube;
  scope: Scope;
  secrets: SecretSource;
  epoch: number;
  drainSeconds: number;
}

const asSluice = { fieldManager: 'sluice' };

/** `there`: the ReplicaSet where it is there already, without replicas: it is brought to what it would be if it were made now. */
export async function makeSet(making: Making, set: SetId, runnable: Runnable, there: boolean): Promise<KubeObject> {
  const { kube, scope, epoch, drainSeconds } = making;
  const content = await contentOf(making, runnable);
  const owned = { configMaps: new Set(Object.keys(runnable.configMaps)), secrets: new Set(content.keys()) };
  const object = replicaSet(runnable, { scope, set, owned, drainSeconds }, epoch);
  const path = setsPath(scope, setName(set));
  const made = there ? await kube.apply<KubeObject>(path, object) : await created(making, set, object);
  const { name, uid } = made.metadata;
  const owner = { name, uid };
  for (const [part, each] of Object.entries(runnable.configMaps))
    await createPart(kube, corePath(scope, 'configmaps'), configMap(scope, set, part, each, owner));
  for (const [part, each] of content) await putSecret(making, set, part, each, owner);
  for (const claim of claims(runnable, scope))
    await createPart(kube, corePath(scope, 'persistentvolumeclaims'), claim.object);
  return made;
}

async function created({ kube, scope }: Making, set: SetId, body: object): Promise<KubeObject> {
  try {
    return await kube.ask<KubeObject>('POST', setsPath(scope), { body, query: asSluice });
  } catch (error) {
    if (statusOf(error) !== 409) throw error;
    const found = await kube.ask<KubeObject>('GET', setsPath(scope, setName(set)));
    if (resourceOf(found.metadata.labels) === set.resource) return found;
    throw new Error(
      `namespace ${scope.namespace} has a ReplicaSet ${setName(set)} that is not of ${set.resource}; delete it, or give the resource another name`,
    );
  }
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
  { kube, scope }: Making,
  set: SetId,
  part: string,
  content: SecretContent,
  owner: { name: string; uid: string },
): Promise<void> {
  const path = corePath(scope, 'secrets', partName(set, part));
  const found = await kube.find<KubeObject>(path);
  if (found?.metadata.annotations?.[ANNOTATION.content] === contentDigest(content)) return;
  if (found !== undefined) await kube.ask('DELETE', path);
  await createPart(kube, corePath(scope, 'secrets'), secret(scope, set, part, content, owner));
}
