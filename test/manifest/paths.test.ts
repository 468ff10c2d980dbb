/** No path of a manifest leaves its root: each field that holds one, with each way out. */
import t from 'tap';
import { formatDiagnostic } from '../../src/manifest/diagnostic.ts';
import { placed } from '../../src/manifest/documents.ts';
import { parseFile } from '../../src/manifest/parse.ts';

const HOSTILE = ['../x', 'a/../../x', '..', 'a/..', 'a\\..\\x', 'a/\u0000b', 'a\nb'];
/** Also an absolute path is none of the repository's or of a volume's. */
const RELATIVE = [...HOSTILE, '/etc/passwd'];
/** A name of one file, never a path. */
const NAME = [...RELATIVE, 'a/b', '..data', ''];

const pod = (container: string, volumes = '[]') => `apiVersion: sluice/v1
kind: Workload
metadata: {name: web}
spec: {template: {spec: {volumes: ${volumes}, containers: [{name: a, image: "a:1", ports: [{containerPort: 80}]${container}}]}}}
`;
const fleet = (script: string) => `apiVersion: sluice/v1
kind: Fleet
metadata: {name: web}
spec: {selector: {role: web}, target: hosts, script: ${script}}
`;
const target = (spec: string) => `apiVersion: sluice/v1
kind: Target
metadata: {name: hosts}
spec: ${spec}
`;
const config = (field: string) => (path: string) =>
  `apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
${field}: {${path}: "eA=="}
`;
const HOSTS = 'hosts: [{name: web-1, address: 10.0.0.1}]';
const volume = (of: string) => `[{name: v, ${of}}]`;

const FIELDS: Record<string, [string[], (path: string) => string]> = {
  image: [NAME.filter((path) => path !== 'a/b'), (path) => pod('').replace('"a:1"', path.replace(/"$/, ':1"'))],
  workingDir: [HOSTILE, (path) => pod(`, workingDir: ${path}`)],
  mountPath: [HOSTILE, (path) => pod(`, volumeMounts: [{name: v, mountPath: ${path}}]`, volume('emptyDir: {}'))],
  subPath: [
    RELATIVE,
    (path) => pod(`, volumeMounts: [{name: v, mountPath: /v, subPath: ${path}}]`, volume('emptyDir: {}')),
  ],
  logs: [HOSTILE, (path) => pod(`, logs: [{path: ${path}, maxSize: 1Mi}]`)],
  'the key of a ConfigMap volume': [
    NAME,
    (path) => pod('', volume(`configMap: {name: c, items: [{key: ${path}, path: a}]}`)),
  ],
  'the path of a ConfigMap volume': [
    RELATIVE,
    (path) => pod('', volume(`configMap: {name: c, items: [{key: a, path: ${path}}]}`)),
  ],
  'the key of a Secret volume': [
    NAME,
    (path) => pod('', volume(`secret: {secretName: s, items: [{key: ${path}, path: a}]}`)),
  ],
  'the path of a Secret volume': [
    RELATIVE,
    (path) => pod('', volume(`secret: {secretName: s, items: [{key: a, path: ${path}}]}`)),
  ],
  'the name of a Secret': [NAME, (path) => pod('', volume(`secret: {secretName: ${path}}`))],
  'the name of a Secret of a variable': [
    NAME,
    (path) => pod(`, env: [{name: A, valueFrom: {secretKeyRef: {name: ${path}, key: a}}}]`),
  ],
  'the name of a volume': [NAME, (path) => pod('', `[{name: ${path}, disk: {size: 1Mi}}]`)],
  'the name of a container': [NAME, (path) => pod('').replace('{name: a,', `{name: ${path},`)],
  'the name of a resource': [NAME, (path) => pod('').replace('{name: web}', `{name: ${path}}`)],
  'a key of a ConfigMap': [NAME, config('data')],
  'a binary key of a ConfigMap': [NAME, config('binaryData')],
  runFile: [RELATIVE, (path) => fleet(`{runFile: ${path}}`)],
  rollbackFile: [RELATIVE, (path) => fleet(`{run: x, rollbackFile: ${path}}`)],
  'runFile in .git': [['.git/hooks/x', 'a/.git/x'], (path) => fleet(`{runFile: ${path}}`)],
  identityFile: [HOSTILE, (path) => target(`{ssh: {identityFile: ${path}, ${HOSTS}}}`)],
  knownHostsFile: [HOSTILE, (path) => target(`{ssh: {knownHostsFile: ${path}, ${HOSTS}}}`)],
  'the name of a host': [NAME, (path) => target(`{ssh: {hosts: [{name: ${path}, address: 10.0.0.1}]}}`)],
  'images of a local target': [HOSTILE, (path) => target(`{local: {images: ${path}}}`)],
  'dataDir of a local target': [HOSTILE, (path) => target(`{local: {dataDir: ${path}}}`)],
};

/** Fields that hold one: it is below the root of a container, or the operator's own machine's. */
const ABSOLUTE = new Set([
  'workingDir',
  'mountPath',
  'logs',
  'identityFile',
  'knownHostsFile',
  'dataDir of a local target',
]);

for (const [field, [paths, yaml]] of Object.entries(FIELDS)) {
  t.test(field, async (t) => {
    for (const path of paths) {
      const { diagnostics } = parseFile(Buffer.from(yaml(JSON.stringify(path))));
      const errors = diagnostics.filter(({ severity }) => severity === 'error');
      t.not(errors.length, 0, JSON.stringify(path));
      // Told where it stands, and not as broken YAML.
      const texts = errors.map((each) => formatDiagnostic(placed('a.yaml', each)));
      t.ok(
        texts.every((text) => !/\[bad-yaml\]|\[syntax\]/.test(text)),
        texts.join('; '),
      );
    }
    const good = parseFile(Buffer.from(yaml(JSON.stringify(ABSOLUTE.has(field) ? '/plain' : 'plain')))).diagnostics;
    t.same(
      good.filter(({ code }) => code === 'bad-path' || code === 'bad-value').map(({ message }) => message),
      [],
      'a plain one',
    );
  });
}
