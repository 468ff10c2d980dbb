/** What the target of a resource cannot give it, as diagnostics at the places of the fields. */
import { formatPath, type PathSegment } from '../manifest/diagnostic.ts';
import { fromJsonText } from '../manifest/json-text.ts';
import { isCluster, isReplicas } from '../manifest/kinds.ts';
import type { Declared, Diagnostic, Resource } from '../manifest/resource.ts';
import { readYaml, type YamlDocument } from '../manifest/yaml.ts';
import { notHonouredByDocker } from '../target/docker/honour.ts';
import { notHonouredByContainers } from '../target/docker/instances/honour.ts';
import { sharedListen } from '../target/haproxy/router/shared.ts';
import { notHonouredByInstances } from '../target/hosts/honour.ts';
import { notHonouredByKubernetes, notRunByKubernetes } from '../target/kubernetes/honour.ts';
import { notHonouredByNodes } from '../target/kubernetes/nodes/honour.ts';
import { type NotHonoured, notHonoured } from '../target/local/honour.ts';

/** The targets of a commit, by what they offer. */
type Targets = Pick<Declared, 'targets' | 'hostTargets'>;

/** The same as sentences, for a plan. */
export const unhonouredNotes = (resource: Resource, targets: Targets): string[] =>
  fieldsOf(resource, targets).map(
    ({ path, result, message, remedy }) =>
      `${result === 'fail' ? 'its precheck will fail: ' : ''}${formatPath(path)}: ${message}; ${remedy}`,
  );

function fieldsOf(resource: Resource, { targets, hostTargets }: Targets): NotHonoured[] {
  const { target } = resource.spec;
  if (isCluster(resource) && targets.get(target)?.kubernetes !== undefined)
    return below(['spec'], notHonouredByNodes(resource));
  if (!isReplicas(resource)) {
    const { docker, policy: rules } = targets.get(target) ?? {};
    const policy = rules?.resources !== undefined;
    if (docker !== undefined)
      return below(['spec'], [...notHonouredByContainers(resource, docker, policy), ...sharedListen(target, targets)]);
    return below(['spec'], notHonouredByInstances(resource, { hosts: hostTargets.has(target), policy }));
  }
  const { docker, kubernetes } = targets.get(target) ?? {};
  const template = fromJsonText(resource.runnable.template);
  const { spec, id } = resource;
  if (kubernetes !== undefined)
    return [
      ...below(['spec'], notRunByKubernetes(id.slice(id.indexOf('/') + 1), spec, kubernetes)),
      ...below(['spec', 'template'], notHonouredByKubernetes(template)),
    ];
  return docker === undefined
    ? below(['spec', 'template'], notHonoured(template))
    : below(['spec'], [...notHonouredByDocker(spec, template, docker), ...sharedListen(target, targets)]);
}

const below = (start: PathSegment[], fields: NotHonoured[]): NotHonoured[] =>
  fields.map((field) => ({ ...field, path: [...start, ...field.path] }));

/** An error is what could not start like this. `read` gives a file that a resource was read from. */
export async function unhonoured(
  resources: Iterable<Resource>,
  targets: Targets,
  read: (path: string) => Promise<string | Uint8Array>,
): Promise<Diagnostic[]> {
  const documents = new Map<string, YamlDocument[]>();
  const found: Diagnostic[] = [];
  for (const resource of resources) {
    const fields = fieldsOf(resource, targets);
    if (fields.length === 0) continue;
    const { file } = resource.place;
    const known = documents.get(file) ?? readYaml(await read(file));
    documents.set(file, known);
    const document = known.find((each) => declares(each, resource));
    for (const { path, result, message, remedy } of fields) {
      found.push({
        place: placeIn(document, path, resource),
        path: formatPath(path),
        severity: result === 'fail' ? 'error' : 'warning',
        code: 'not-honoured',
        message: `${message}; ${remedy}`,
        resource: resource.id,
      });
    }
  }
  return found;
}

function declares({ value }: YamlDocument, { id }: Resource): boolean {
  const { kind, metadata } = (value ?? {}) as { kind?: unknown; metadata?: { name?: unknown } | null };
  return `${kind}/${metadata?.name}` === id;
}

function placeIn(document: YamlDocument | undefined, path: PathSegment[], { place }: Resource): Diagnostic['place'] {
  if (document === undefined) return place;
  const [line, column] = document.locate(path, 'value');
  return { file: place.file, line, column };
}
