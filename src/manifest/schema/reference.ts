/** The schemas as files: for editors, and as a page for people. */
import { stringify } from 'yaml';
import { anyKind, FILES } from './any.ts';
import type { Schema } from './build.ts';
import { template } from './pod.ts';
import { printJson } from './print.ts';
import { SCHEMAS } from './schemas.ts';

/** What `schemas/generate.ts` writes, by path from the top of the project. */
export function generatedFiles(): Record<string, string> {
  return {
    ...Object.fromEntries(Object.entries(FILES).map(([file, schema]) => [`schemas/${file}`, `${printJson(schema)}\n`])),
    'schemas/manifest.json': `${printJson(anyKind)}\n`,
    'schemas/image.json': `${printJson(SCHEMAS.image)}\n`,
    'docs/manifests.md': manifestsPage(),
  };
}

const INTRODUCTION = `# Manifests

<!-- Generated from src/manifest/schema by schemas/generate.ts; change it there. -->

Sluice reads every \`*.yaml\` and \`*.yml\` file of the config repository (below \`--path\`, outside of folders whose name starts
with a dot and outside of image folders). A file may hold several documents. \`sluice validate\` tells everything that is wrong
in all of them at once, as \`file:line:column path: what is wrong; what to do\`.

- A document of another \`apiVersion\` is left alone; only a \`v1\` ConfigMap is read. A \`v1\` Secret is refused: what is in Git is
  no secret. Keep secrets as files \`<name>/<key>\` in the folder given by \`--secrets-dir\`.
- Names are lower-case letters, digits and \`-\`, at most 63 characters, unique per kind: two of a name make both invalid. So do two
  resources at one host.
- An unknown field is an error. A document is at most 1 MiB, a file 32 MiB, and nothing is nested deeper than 50 levels.
- A resource that is invalid goes on as it last was when it was valid; nothing is deleted because of a file that cannot be read.
- The **revision** of a resource is a digest of what changes *what* runs: its template as it is written, the data of the ConfigMaps that
  the template names, and the folders of its images; of a Fleet its image and its script, of a Cluster its version and the folder of its
  image. Replicas, strategy, batches, traffic, windows, a version's name and the like are *how*: they make no revision.
- Quantities are numbers with \`m\`, \`k\`, \`M\`, \`G\`, \`T\`, \`P\`, \`Ki\`, \`Mi\`, \`Gi\`, \`Ti\` or \`Pi\` after them; durations are a whole
  number and one of \`ms\`, \`s\`, \`m\`, \`h\`, \`d\`.

Editors that use the YAML language server complete and check as you type, given this first line (\`service.json\` and the others beside it
hold one kind each; \`manifest.json\` all of them, for files of several documents):

\`\`\`yaml
# yaml-language-server: $schema=<where Sluice is>/schemas/manifest.json
\`\`\`
`;

const GIVEN = `## What programs are given

On the target \`local\`, a program's environment is made from a list, never from the operator's own: \`PATH\`, \`HOME\`, \`USER\`, the language and the
time zone, then the image's \`env\`, then the container's, and over all of them:

| variable | who has it | what it is |
| --- | --- | --- |
| \`PORT\`, \`PORT_<NAME>\` | all that serve | Where to listen, on 127.0.0.1: the container's first port, and each named one. |
| \`SLUICE_RESOURCE\` | all | \`Service/shop\`. |
| \`SLUICE_REVISION\` | programs, scripts of a fleet or a cluster | What runs; of a script that undoes, the revision that is undone. |
| \`SLUICE_VERSION\` | programs, nodes | The name of a service's version; of a node, the version that it is to run. |
| \`SLUICE_UNIT\` | programs | Which one it is: \`shop-v8-1\`. |
| \`SLUICE_MOUNT_<VOLUME>\` | programs with volumes | The folder, or file, behind a mount. |
| \`SLUICE_INSTANCE\` | instances, nodes | Which one it is: \`web-3\`, \`prod-cp-1\`, \`prod-node-7\`. |
| \`SLUICE_MOUNT_INSTANCE\` | programs of instances and nodes | The instance's own folder, which stays while its image is replaced. Scripts, and commands of the manifest, run in it. |
| \`SLUICE_ROLLOUT\` | scripts | The id of the rollout. |
| \`SLUICE_PEERS\` | nodes, their scripts and commands | A file that names every node of the cluster. |

A script is given its own few of these and what its user has; over SSH it is the same, without what a process on this machine has.

### Nodes that find each other

The file at \`SLUICE_PEERS\` has a line \`name=host:port\` for each node, the control plane first:

\`\`\`text
prod-cp-1=127.0.0.1:23417
prod-cp-2=127.0.0.1:21033
prod-node-1=127.0.0.1:29871
\`\`\`

The port is the node's \`PORT\`: it has it from its creation to its removal, whatever it runs, and through every restart. Should another program take it
meanwhile, the node does not start and says so. Nodes that are created together know each other from their first start on. The file is replaced as a whole when a node comes
or goes: read it again now and then, or watch its folder. \`paste -sd, "$SLUICE_PEERS"\` is \`prod-cp-1=127.0.0.1:23417,prod-cp-2=…\`.
`;

function manifestsPage(): string {
  const replicas = [SCHEMAS.Workload, SCHEMAS.Service];
  const kinds = replicas.map((schema) => section(schema, new Map([[template, '[Pod template](#pod-template)']])));
  const others = [...Object.values(FILES).filter((schema) => !replicas.includes(schema)), SCHEMAS.image].map((schema) =>
    section(schema, new Map()),
  );
  const pod = section({ ...template, title: 'Pod template' }, new Map(), 'spec.template');
  return [INTRODUCTION, ...kinds, pod, ...others, GIVEN].join('\n');
}

/** `told`: schemas that are described elsewhere, and where. */
function section(schema: Schema, told: Map<Schema, string>, path = ''): string {
  const rows = describe(schema, path, told);
  const table = [
    '| field | type | default | description |',
    '| --- | --- | --- | --- |',
    ...rows.map((row) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`),
  ];
  const examples = (schema.examples ?? []).flatMap((example) => [
    '',
    '```yaml',
    stringify(example, { lineWidth: 0 }).trimEnd(),
    '```',
  ]);
  return [`## ${schema.title}`, '', schema.description, '', ...table, ...examples, ''].join('\n');
}

function describe(schema: Schema, path: string, told: Map<Schema, string>): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const at = path === '' ? name : `${path}.${name}`;
    return [row(field, at, schema.required?.includes(name) ?? false, told.get(field)), ...below(field, at, told)];
  });
}

/** The fields in a map or in a list's entries, told once however often the schema uses them. */
function below(field: Schema, path: string, told: Map<Schema, string>): string[][] {
  if (told.has(field)) return [];
  if (field.properties !== undefined) {
    told.set(field, `\`${path}\``);
    return describe(field, path, told);
  }
  if (field.items?.properties === undefined) return [];
  told.set(field, `\`${path}\``);
  return describe(field.items, `${path}[]`, told);
}

function row(field: Schema, path: string, isRequired: boolean, told: string | undefined): string[] {
  const fallback = field.default === undefined ? '' : `\`${JSON.stringify(field.default)}\``;
  const description = `${field.description}${told === undefined ? '' : ` Fields: see ${told}.`}`;
  return [`\`${path}\``, typeOf(field), isRequired ? '*required*' : fallback, description];
}

function typeOf(field: Schema): string {
  if (field.enum !== undefined) return field.enum.map((value) => `\`${value}\``).join(', ');
  const types = [field.type ?? []].flat();
  if (types.includes('array')) return field.items?.properties === undefined ? `list of ${field.items?.type}` : 'list';
  if (types.includes('object')) return field.properties === undefined ? 'map of text' : 'map';
  const isNumber = types.includes('integer') && types.length === 1;
  return isNumber
    ? `integer ${field.minimum} to ${field.maximum}`
    : types.map((type) => (type === 'string' ? 'text' : type)).join(' or ');
}
