/** What the target of a resource cannot give it, as diagnostics at the places of the fields. */
import { formatPath, type PathSegment } from '../manifest/diagnostic.ts';
import type { Diagnostic, Resource } from '../manifest/resource.ts';
import { readYaml, type YamlDocument } from '../manifest/yaml.ts';
import { notHonoured } from '../target/local/honour.ts';

/** The same as sentences, for a plan. */
export const unhonouredNotes = ({ spec }: Resource): string[] =>
  notHonoured(spec.template).map(
    ({ path, result, message, remedy }) =>
      `${result === 'fail' ? 'its precheck will fail: ' : ''}${formatPath([...TEMPLATE, ...path])}: ${message}; ${remedy}`,
  );

const TEMPLATE = ['spec', 'template'];

/** An error is what could not start like this. `read` gives a file that a resource was read from. */
export async function unhonoured(
  resources: Iterable<Resource>,
  read: (path: string) => Promise<string | Uint8Array>,
): Promise<Diagnostic[]> {
  const documents = new Map<string, YamlDocument[]>();
  const found: Diagnostic[] = [];
  for (const resource of resources) {
    const fields = notHonoured(resource.spec.template);
    if (fields.length === 0) continue;
    const { file } = resource.place;
    const known = documents.get(file) ?? readYaml(await read(file));
    documents.set(file, known);
    const document = known.find((each) => declares(each, resource));
    for (const { path, result, message, remedy } of fields) {
      const at = [...TEMPLATE, ...path];
      found.push({
        place: placeIn(document, at, resource),
        path: formatPath(at),
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
