/** The environment and the command line of a container: Kubernetes' rules, with what a process on this machine needs besides. PURE. */
import type { Container, EnvFrom, EnvSource, PodTemplate, Runnable } from '../../manifest/resource.ts';

/** A value, and whether a secret is in it. */
interface Variable {
  value: string;
  secret: boolean;
}
export type Variables = Map<string, Variable>;

/** What is known of one unit's container when its process is about to start. */
export interface Surroundings {
  runnable: Runnable;
  container: Container;
  /** The image's own variables. */
  image: Record<string, string>;
  /** Where every process starts from: `PATH`, `HOME` … */
  base: Record<string, string>;
  /** `PORT`, `SLUICE_*`: what Sluice sets; nothing that a manifest declares replaces it. */
  own: Record<string, string>;
  /** Secrets by name, as they are now; undefined: there is none of that name. */
  secrets: Map<string, Record<string, Buffer> | undefined>;
  unit: string;
  hostname: string;
}

/**
 * In this order, later ones over earlier ones: base, image, envFrom, env; and Sluice's own over all of them. A value may
 * name any variable before it: `$(PORT)`.
 */
export function variablesOf(surroundings: Surroundings): Variables {
  const { container, base, image, own } = surroundings;
  const variables: Variables = new Map();
  const set = (name: string, value: string, secret = false) => {
    if (!Object.hasOwn(own, name)) variables.set(name, { value, secret });
  };
  for (const [name, value] of Object.entries(own)) variables.set(name, { value, secret: false });
  for (const [name, value] of [...Object.entries(base), ...Object.entries(image)]) set(name, value);
  for (const from of container.envFrom) {
    for (const [key, { value, secret }] of gathered(from, surroundings)) set((from.prefix ?? '') + key, value, secret);
  }
  for (const variable of container.env) {
    if ('value' in variable) {
      const { value, secret } = expand(variable.value, variables);
      set(variable.name, value, secret);
    } else {
      const found = sourced(variable.valueFrom, surroundings);
      if (found !== undefined) set(variable.name, found.value, found.secret);
    }
  }
  return variables;
}

function gathered({ configMapRef, secretRef }: EnvFrom, { runnable, secrets }: Surroundings): Variables {
  const found: Variables = new Map();
  if (configMapRef !== undefined) {
    const data = runnable.configMaps[configMapRef.name]?.data;
    if (data === undefined && !configMapRef.optional) throw missing('ConfigMap', configMapRef.name);
    for (const [key, value] of Object.entries(data ?? {})) found.set(key, { value, secret: false });
  }
  if (secretRef !== undefined) {
    const data = secrets.get(secretRef.name);
    if (data === undefined && !secretRef.optional) throw missing('Secret', secretRef.name);
    for (const [key, value] of Object.entries(data ?? {})) found.set(key, { value: value.toString(), secret: true });
  }
  return found;
}

function sourced(source: EnvSource, { runnable, secrets, unit, hostname }: Surroundings): Variable | undefined {
  if ('fieldRef' in source) {
    const value = fieldValue(source.fieldRef.fieldPath, runnable.template, unit, hostname);
    if (value === undefined) throw new Error(`a unit has no field ${source.fieldRef.fieldPath}; see the manual's list`);
    return { value, secret: false };
  }
  if ('configMapKeyRef' in source) {
    const { name, key, optional } = source.configMapKeyRef;
    const value = entry(runnable.configMaps[name]?.data, key);
    if (value === undefined && !optional) throw missing('ConfigMap', name, key);
    return value === undefined ? undefined : { value, secret: false };
  }
  const { name, key, optional } = source.secretKeyRef;
  const value = entry(secrets.get(name), key);
  if (value === undefined && !optional) throw missing('Secret', name, key);
  return value === undefined ? undefined : { value: value.toString(), secret: true };
}

/** Never what every object answers for, such as `toString`. */
const entry = <T>(map: Record<string, T> | undefined, key: string): T | undefined =>
  map !== undefined && Object.hasOwn(map, key) ? map[key] : undefined;

/** `metadata.name` is the unit's id. Undefined: this target has no such field. */
export function fieldValue(path: string, template: PodTemplate, unit: string, hostname: string): string | undefined {
  const [, label] = /^metadata\.labels\['([^']*)'\]$/.exec(path) ?? [];
  if (label !== undefined) return entry(template.metadata.labels, label) ?? '';
  return new Map([
    ['metadata.name', unit],
    ['metadata.namespace', 'default'],
    ['status.podIP', '127.0.0.1'],
    ['status.hostIP', '127.0.0.1'],
    ['spec.nodeName', hostname],
  ]).get(path);
}

function missing(kind: 'ConfigMap' | 'Secret', name: string, key?: string): Error {
  const remedy =
    kind === 'Secret' ? `add ${name}/${key ?? '<key>'} to the folder of --secrets-dir` : 'add it to the ConfigMap';
  return new Error(`${kind} ${name} ${key === undefined ? 'does not exist' : `has no key ${key}`}; ${remedy}`);
}

/** `$(NAME)` becomes the variable's value; one that is not there stays as written; `$$(NAME)` is `$(NAME)`. */
function expand(text: string, variables: Variables): Variable {
  let secret = false;
  const value = text.replace(/\$\$|\$\(([^()]*)\)/g, (written, name: string | undefined) => {
    if (name === undefined) return '$';
    const variable = variables.get(name);
    secret ||= variable?.secret ?? false;
    return variable?.value ?? written;
  });
  return { value, secret };
}

/**
 * `command` takes the place of the image's command; `args` follow either.
 * Throws where a secret would become an argument, since every user of the machine can read those.
 */
export function commandLine(container: Container, imageCommand: string[], variables: Variables): string[] {
  const words = [...(container.command ?? imageCommand), ...(container.args ?? [])];
  if (words.length === 0) {
    throw new Error(
      `container ${container.name} has no command; give it \`command\`, or give image ${container.image} one in its image.yaml`,
    );
  }
  return expandWords(container, words, variables);
}

/** Throws where a secret would become an argument. */
export function expandWords(container: Container, words: string[], variables: Variables): string[] {
  return words.map((word) => {
    const { value, secret } = expand(word, variables);
    if (!secret) return value;
    throw new Error(
      `an argument of container ${container.name} names a variable that holds a secret, and arguments can be read by every user of the machine; let the program read the variable itself`,
    );
  });
}

export function plainVariables(variables: Variables): Record<string, string> {
  return Object.fromEntries([...variables].map(([name, { value }]) => [name, value]));
}

/** Takes secrets out of a text that people will see. */
export function redactor(variables: Variables, secrets: Surroundings['secrets']): (text: string) => string {
  const values = [...secrets.values()].flatMap((data) => Object.values(data ?? {}).map((value) => value.toString()));
  for (const { value, secret } of variables.values()) if (secret) values.push(value);
  // A secret of several lines may be printed line by line; the longest first, so that none hides a part of another.
  const parts = values.flatMap((value) => [value, ...value.split('\n')]).map((value) => value.trim());
  const hidden = [...new Set(parts)].filter((part) => part !== '').sort((a, b) => b.length - a.length);
  return (text) => hidden.reduce((safe, part) => safe.replaceAll(part, '***'), text);
}

const variableName = (name: string) => name.toUpperCase().replace(/[^A-Z0-9]/g, '_');

/** `PORT` is the first port; `PORT_<NAME>` each named one. */
export function portVariables(container: Container, ports: Record<string, number>): Record<string, string> {
  const [first] = container.ports;
  const main = ports[first?.containerPort ?? 0];
  const named = container.ports.flatMap(({ name, containerPort }) =>
    name === undefined ? [] : [[`PORT_${variableName(name)}`, String(ports[containerPort])]],
  );
  return { ...(main === undefined ? {} : { PORT: String(main) }), ...Object.fromEntries(named) };
}

/** `SLUICE_MOUNT_<VOLUME>`: the folder (or file) behind the first mount of each volume. */
export function mountVariables(mounts: { volume: string; folder: string }[]): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const { volume, folder } of mounts) variables[`SLUICE_MOUNT_${variableName(volume)}`] ??= folder;
  return variables;
}
