/**
 * Writes that an operator which was taken over cannot make any more. Each object carries the epoch of who had it last, and is written only as the very
 * version of which that was read. An operator puts its epoch on all that is there before it does anything else: from then on an earlier one, which
 * may have looked just before that and be woken after it, is refused by the API itself.
 */
import { StaleEpoch } from '../ports.ts';
import { FIELD_MANAGER, type Kube, type KubeObject, statusOf } from './client.ts';
import { checkKubernetesEpoch } from './epoch.ts';
import { ANNOTATION, epochOf, type Scope } from './names.ts';

export interface FenceOptions {
  kube: Kube;
  scope: Scope;
  epoch: number;
  /** A later operator has taken over. */
  stale(error: StaleEpoch): void;
}

/** Of what is there, undefined where there is nothing: what it is to be. Undefined: it stays as it is. */
type Make = (found: KubeObject | undefined) => object | undefined;

/** What carries an epoch. */
export interface Marked {
  path: string;
  epoch: number;
  put(object: KubeObject): void;
}

export interface Fence {
  /** Makes it what `make` says, as the field manager `sluice`; gives what is there then. */
  apply(path: string, make: Make): Promise<KubeObject | undefined>;
  /** Changes in what is there what `make` says, as a merge patch. */
  change(path: string, make: (found: KubeObject) => object | undefined): Promise<KubeObject | undefined>;
  /** Takes it away, where `may` says so of what is there. */
  remove(path: string, may?: (found: KubeObject) => boolean): Promise<void>;
  /** Puts this operator's epoch on all of it. */
  takeOver(all: Marked[]): Promise<void>;
}

const MARK = `/metadata/annotations/${ANNOTATION.epoch.replaceAll('/', '~1')}`;
const MERGE = 'application/merge-patch+json';
const JSON_PATCH = 'application/json-patch+json';
const query = { fieldManager: FIELD_MANAGER };
/** Who writes a status changes the version too: then it is looked at again. */
const TRIES = 10;

export function openFence({ kube, scope, epoch, stale }: FenceOptions): Fence {
  function refuse(found: KubeObject): void {
    const seen = epochOf(found);
    if (seen <= epoch) return;
    throw new StaleEpoch(epoch, seen, `${found.kind ?? 'the object'} ${found.metadata.name}`);
  }

  async function onceMore<T>(path: string, write: (found: KubeObject | undefined) => Promise<T>): Promise<T> {
    try {
      for (let tries = 1; ; tries++) {
        const found = await kube.find<KubeObject>(path);
        if (found !== undefined) refuse(found);
        else await checkKubernetesEpoch(kube, scope, epoch);
        try {
          return await write(found);
        } catch (error) {
          if (statusOf(error) !== 409 || tries === TRIES) throw error;
        }
      }
    } catch (error) {
      if (error instanceof StaleEpoch) stale(error);
      throw error;
    }
  }

  const marked = (object: object, found?: KubeObject): object => {
    const { metadata = {}, ...rest } = object as { metadata?: { annotations?: object } };
    const annotations = { ...metadata.annotations, [ANNOTATION.epoch]: String(epoch) };
    const version = found && { resourceVersion: found.metadata.resourceVersion, uid: found.metadata.uid };
    return { ...rest, metadata: { ...metadata, annotations, ...version } };
  };

  const change: Fence['change'] = (path, make) =>
    onceMore(path, async (found) => {
      const patch = found && make(found);
      if (patch === undefined) return found;
      return kube.ask<KubeObject>('PATCH', path, { body: marked(patch, found), type: MERGE, query });
    });

  async function claim({ path, epoch: seen, put }: Marked): Promise<void> {
    if (seen === epoch) return;
    const operations = [
      { op: 'test', path: MARK, value: String(seen) },
      { op: 'replace', path: MARK, value: String(epoch) },
    ];
    try {
      put(await kube.ask<KubeObject>('PATCH', path, { body: operations, type: JSON_PATCH, query }));
    } catch (error) {
      if (statusOf(error) === 404) return;
      // It has another epoch than was seen, or none yet.
      if (statusOf(error) !== 422) throw error;
      const now = await change(path, (found) => (epochOf(found) === epoch ? undefined : {}));
      if (now !== undefined) put(now);
    }
  }

  /** It may have been made after another operator had taken over, which looks at all that is there only once: then it is taken away again. */
  async function create(path: string, object: object): Promise<KubeObject> {
    const made = await kube.ask<KubeObject>('POST', path.slice(0, path.lastIndexOf('/')), { body: object, query });
    try {
      await checkKubernetesEpoch(kube, scope, epoch);
    } catch (error) {
      // Where the other operator has written to it by now it is that one's, and this is refused.
      if (error instanceof StaleEpoch) await removeExactly(kube, path, made).catch(() => {});
      throw error;
    }
    return given(kube, path, made);
  }

  return {
    apply: (path, make) =>
      onceMore(path, async (found) => {
        const object = make(found);
        if (object === undefined) return found;
        return found === undefined ? create(path, marked(object)) : kube.apply<KubeObject>(path, marked(object, found));
      }),
    change,
    remove: (path, may = () => true) =>
      onceMore(path, async (found) => {
        if (found === undefined || !may(found)) return;
        await removeExactly(kube, path, found);
      }),
    takeOver: async (all) => void (await Promise.all(all.map(claim))),
  };
}

/**
 * Server-side apply would change one that somebody makes at the same moment; what is made by POST, in turn, belongs to another operation of the same
 * manager, and a later apply would take away none of its fields. So it is made by POST, and given to apply.
 */
async function given(kube: Kube, path: string, made: KubeObject): Promise<KubeObject> {
  const body = [
    { op: 'test', path: '/metadata/managedFields/0/manager', value: FIELD_MANAGER },
    { op: 'replace', path: '/metadata/managedFields/0/operation', value: 'Apply' },
  ];
  try {
    return await kube.ask<KubeObject>('PATCH', path, { body, type: JSON_PATCH });
  } catch (error) {
    // Somebody was at it already, or took it away.
    if (statusOf(error) === 422 || statusOf(error) === 404) return made;
    throw error;
  }
}

/** Only as it was seen: what somebody has written to since, or made anew under the name, stays, and that is an error. */
export async function removeExactly(kube: Kube, path: string, { metadata }: KubeObject): Promise<void> {
  const { uid, resourceVersion } = metadata;
  const body = { propagationPolicy: 'Background', preconditions: { uid, resourceVersion } };
  await kube.ask('DELETE', path, { body }).catch((error) => {
    if (statusOf(error) !== 404) throw error;
  });
}
