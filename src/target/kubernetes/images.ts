/**
 * What the tags of a revision stand for: each is asked for at its registry when the first ReplicaSet of the revision is made, and the digest stands in
 * that ReplicaSet from then on, behind the tag (`shop:8@sha256:…`). A revert to the revision runs what it ran, wherever the tag has gone meanwhile.
 */
import type { ResourceId, Revision, Runnable } from '../../manifest/resource.ts';
import type { KubernetesTarget } from '../../manifest/target.ts';
import type { SecretSource } from '../ports.ts';
import type { AskDigest } from '../registry/digest.ts';
import { loginAt } from '../registry/login.ts';
import { registryOf, withoutDigest } from '../registry/reference.ts';
import type { Kube, KubeObject } from './client.ts';
import { LABEL, resourceLabels, type Scope, selector, setsPath } from './names.ts';

export interface ImagesOptions {
  kube: Kube;
  scope: Scope;
  target: Pick<KubernetesTarget, 'registries'>;
  secrets: SecretSource;
  digestAt: AskDigest;
}

export interface Images {
  /** The runnable with digests behind its tags. One that cannot be asked for stays a tag, and `unresolved` is told why. */
  pin(runnable: Runnable, unresolved: (image: string, error: Error) => void): Promise<Runnable>;
  /** What is known of each image of the revision, and what its registry says now. Changes nothing. */
  look(runnable: Runnable): Promise<Look[]>;
}

export interface Look {
  image: string;
  /** With its digest, as the revision runs it. */
  recorded?: string;
  /** What the tag stands for now, or why that is not known. */
  now: { digest: string } | { error: Error };
}

interface MadeSet extends KubeObject {
  spec: { replicas?: number; template: { spec: { containers: { image: string }[] } } };
}

const hasDigest = (image: string): boolean => image.includes('@');

export function openImages({ kube, scope, target, secrets, digestAt }: ImagesOptions): Images {
  /** By tag. Whatever runs of the revision has the last word, with digests or without. */
  async function recorded(resource: ResourceId, revision: Revision): Promise<Map<string, string>> {
    const labelSelector = selector({ ...resourceLabels(scope, resource), [LABEL.revision]: revision });
    const { items } = await kube.ask<{ items: MadeSet[] }>('GET', setsPath(scope), { query: { labelSelector } });
    const found = new Map<string, string>();
    const runs = ({ spec }: MadeSet) => Number((spec.replicas ?? 0) > 0);
    for (const set of items.sort((a, b) => runs(a) - runs(b)))
      for (const { image } of set.spec.template.spec.containers)
        if (hasDigest(image) || runs(set)) found.set(withoutDigest(image), image);
    return found;
  }

  const ask = async (image: string): Promise<string> =>
    digestAt(image, await loginAt(registryOf(image), target.registries ?? [], secrets));

  return {
    async pin(runnable, unresolved) {
      const { resource, revision, template } = runnable;
      const known = await recorded(resource, revision);
      const pinned = async (image: string): Promise<string> => {
        const there = hasDigest(image) ? image : known.get(image);
        if (there !== undefined) return there;
        try {
          return `${image}@${await ask(image)}`;
        } catch (error) {
          unresolved(image, error as Error);
          return image;
        }
      };
      const containers = await Promise.all(
        template.spec.containers.map(async (each) => ({ ...each, image: await pinned(each.image) })),
      );
      return { ...runnable, template: { ...template, spec: { ...template.spec, containers } } };
    },
    async look({ resource, revision, template }) {
      const known = await recorded(resource, revision);
      const tags = new Set(template.spec.containers.map(({ image }) => image).filter((image) => !hasDigest(image)));
      return Promise.all(
        [...tags].map(async (image): Promise<Look> => {
          const there = known.get(image);
          const now = await ask(image).then(
            (digest) => ({ digest }),
            (error: Error) => ({ error }),
          );
          return { image, now, ...(there !== undefined && hasDigest(there) && { recorded: there }) };
        }),
      );
    },
  };
}
