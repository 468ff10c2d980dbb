/**
 * Images of a revision: a tag is resolved once, when the first unit of the revision is started, and kept on the engine under a name of
 * the revision's own. That name is the record: a revert to the revision runs what it ran, wherever the tag has gone meanwhile.
 */
import type Docker from 'dockerode';
import type { ResourceId, Revision } from '../../manifest/resource.ts';
import type { DockerTarget } from '../../manifest/target.ts';
import type { SecretSource } from '../ports.ts';
import { loginAt } from '../registry/login.ts';
import { registryOf, withoutTag } from '../registry/reference.ts';
import type { ImageConfig } from './describe.ts';
import { answered, found, saidBy } from './engine.ts';
import { imageRepository, imageTag, type Scope } from './labels.ts';

export interface PinnedImage extends ImageConfig {
  /** The engine's. */
  id: string;
  /** `registry.example.org/shop@sha256:…`; of an image that was never in a registry, its id. */
  digest: string;
}

export interface Images {
  /** `progress` is told what a person may read while it is fetched. */
  pin(resource: ResourceId, revision: Revision, image: string, progress: (text: string) => void): Promise<PinnedImage>;
  /** Changes nothing. */
  look(resource: ResourceId, revision: Revision, image: string): Promise<Look>;
  /** Of this resource, keeps the images of these revisions, and of so many others that were made last. */
  prune(resource: ResourceId, revisions: Set<Revision>, others: number): Promise<void>;
}

export interface Look {
  /** It runs, or would run: undefined where it is not known. */
  digest: string | undefined;
  /** What the tag stands for now, where it was resolved before to something else. */
  moved?: string;
}

interface ImagesOptions {
  docker: Docker;
  target: DockerTarget;
  scope: Scope;
  secrets: SecretSource;
  log(message: string, details: Record<string, unknown>): void;
}

export function openImages({ docker, target, scope, secrets, log }: ImagesOptions): Images {
  const pinning = new Map<string, Promise<PinnedImage>>();
  const inspect = (name: string) => found(docker.getImage(name).inspect());
  const pinned = async (resource: ResourceId, revision: Revision, image: string) =>
    inspect(`${imageRepository(scope, resource)}:${imageTag(revision, image)}`);

  async function credentials(image: string): Promise<{ authconfig?: Docker.AuthConfig }> {
    const registry = registryOf(image);
    const login = await loginAt(registry, target.registries, secrets);
    return login === undefined ? {} : { authconfig: { ...login, serveraddress: registry } };
  }

  /** What the tag stands for at its registry. */
  async function resolved(image: string): Promise<string> {
    const { Descriptor } = await answered(docker.getImage(image).distribution(await credentials(image)));
    return `${withoutTag(image)}@${Descriptor.digest}`;
  }

  async function pull(reference: string, progress: (text: string) => void): Promise<void> {
    const stream = await docker.pull(reference, await credentials(reference));
    const layers = new Map<string, { done: number; total: number }>();
    await new Promise<void>((resolve, reject) => {
      docker.modem.followProgress(
        stream,
        (error: Error | null) => (error === null ? resolve() : reject(error)),
        ({ id, progressDetail: { current, total } = {} }: Progress) => {
          if (id !== undefined && current !== undefined && total !== undefined)
            layers.set(id, { done: current, total });
          progress(`pulling ${reference}${share([...layers.values()])}`);
        },
      );
    });
  }

  async function resolve(image: string, progress: (text: string) => void): Promise<Docker.ImageInspectInfo> {
    const here = await inspect(image);
    // Built or loaded on the engine itself, so that no registry knows it; or named by what it is.
    if (here !== undefined && ((here.RepoDigests ?? []).length === 0 || /(^|@)sha256:/.test(image))) return here;
    try {
      const reference = await resolved(image);
      const same = await inspect(reference);
      if (same !== undefined) return same;
      await pull(reference, progress);
      const pulled = await inspect(reference);
      if (pulled !== undefined) return pulled;
      throw new Error('it is not there after it was pulled');
    } catch (error) {
      if (here === undefined) throw new Error(`image ${image} cannot be pulled: ${saidBy(error)}`);
      log('image cannot be asked for at its registry: what is on the engine is taken', {
        image,
        message: saidBy(error),
      });
      return here;
    }
  }

  async function pin(resource: ResourceId, revision: Revision, image: string, progress: (text: string) => void) {
    const before = await pinned(resource, revision, image);
    if (before !== undefined) return describe(before, image);
    const made = await resolve(image, progress);
    const repo = imageRepository(scope, resource);
    await answered(docker.getImage(made.Id).tag({ repo, tag: imageTag(revision, image) }));
    return describe(made, image);
  }

  return {
    pin(resource, revision, image, progress) {
      const key = `${resource} ${revision} ${image}`;
      const under = pinning.get(key) ?? pin(resource, revision, image, progress);
      pinning.set(key, under);
      under.then(
        () => pinning.delete(key),
        () => pinning.delete(key),
      );
      return under;
    },
    async look(resource, revision, image) {
      const before = await pinned(resource, revision, image);
      const here = await inspect(image);
      if (here !== undefined && (here.RepoDigests ?? []).length === 0)
        return { digest: before === undefined ? here.Id : describe(before, image).digest };
      if (before === undefined) return { digest: await resolved(image) };
      const digest = describe(before, image).digest;
      const now = await resolved(image).catch(() => digest);
      const same = now === digest || (before.RepoDigests ?? []).includes(now);
      return same ? { digest } : { digest, moved: now };
    },
    async prune(resource, revisions, others) {
      const repository = imageRepository(scope, resource);
      const kept = await answered(docker.listImages({ filters: { reference: [`${repository}:*`] } }));
      const names = kept.flatMap(({ RepoTags }) => RepoTags ?? []).filter((name) => name.startsWith(`${repository}:`));
      const old = names.filter((name) => !revisions.has(revisionOf(name)));
      const dated = await Promise.all(old.map(async (name) => ({ name, at: tagged(await inspect(name)) })));
      const spare = dated.sort((a, b) => b.at - a.at).slice(others);
      for (const { name } of spare) await found(docker.getImage(name).remove({ noprune: false }));
    },
  };
}

interface Progress {
  id?: string;
  progressDetail?: { current?: number; total?: number };
}

function share(layers: { done: number; total: number }[]): string {
  const total = layers.reduce((sum, layer) => sum + layer.total, 0);
  const done = layers.reduce((sum, layer) => sum + layer.done, 0);
  return total === 0 ? '' : `: ${Math.floor((done / total) * 100)} %`;
}

const revisionOf = (name: string) => name.slice(name.lastIndexOf(':') + 1).split('-')[0] ?? '';
const tagged = (image: Docker.ImageInspectInfo | undefined) =>
  Date.parse((image as { Metadata?: { LastTagTime?: string } } | undefined)?.Metadata?.LastTagTime ?? '') || 0;

function describe({ Id, Config, RepoDigests }: Docker.ImageInspectInfo, image: string): PinnedImage {
  const name = withoutTag(image);
  const digests = RepoDigests ?? [];
  const env = (Config?.Env ?? []).map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]);
  const exposed = Object.keys(Config?.ExposedPorts ?? {}).filter((port) => !port.endsWith('/udp'));
  return {
    id: Id,
    digest: digests.find((each) => each.startsWith(`${name}@`)) ?? digests[0] ?? Id,
    env: Object.fromEntries(env),
    workingDir: Config?.WorkingDir || '/',
    exposed: exposed.map((port) => Number.parseInt(port, 10)).filter((port) => port > 0),
  };
}
