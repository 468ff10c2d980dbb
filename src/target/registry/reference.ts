/** The parts of an image's name. PURE. */

export interface Reference {
  /** `registry.example.org:5000`; Docker's own where the name has none. */
  registry: string;
  /** `team/shop`; of Docker's own registry `library/shop`, where there is no team. */
  repository: string;
  tag: string;
  /** `sha256:…`, where it is named by what it is. */
  digest?: string;
}

const DOCKER = 'docker.io';

/** `registry.example.org:5000/shop:8` is of `registry.example.org:5000`. */
export function registryOf(image: string): string {
  const [first = '', ...rest] = image.split('/');
  return rest.length > 0 && (/[.:]/.test(first) || first === 'localhost') ? first : DOCKER;
}

export const withoutTag = (image: string): string => image.replace(/(:[^:/@]*)?(@.*)?$/, '');
export const withoutDigest = (image: string): string => image.replace(/@.*$/, '');

export function parseReference(image: string): Reference {
  const registry = registryOf(image);
  const [, tag = 'latest', digest] = /(?::([^:/@]*))?(?:@(.*))?$/.exec(image) ?? [];
  const name = withoutTag(image);
  const path = name.startsWith(`${registry}/`) ? name.slice(registry.length + 1) : name;
  const repository = registry === DOCKER && !path.includes('/') ? `library/${path}` : path;
  return { registry, repository, tag, ...(digest !== undefined && { digest }) };
}
