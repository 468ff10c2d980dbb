/** Every sort of manifest that cannot be used, and what is said of it at its place. */

const workload = (spec: string, name = 'x') =>
  `apiVersion: sluice/v1\nkind: Workload\nmetadata: {name: ${name}}\nspec:\n${spec}`;
const template = (image: string) =>
  `  template:\n    spec:\n      containers:\n        - {name: web, image: "${image}", ports: [{containerPort: 8080}]}\n`;

export interface Bad {
  file: string;
  text: string | Buffer;
  /** How the line that tells of it begins: its place, and the heart of what is wrong. */
  says: string;
  /** The resource that it would be, where so much can be read. */
  resource?: string;
}

export const BAD: Bad[] = [
  {
    file: 'broken.yaml',
    text: 'apiVersion: sluice/v1\nkind: [Workload\n',
    says: 'broken.yaml:3:1: not valid YAML',
  },
  {
    file: 'unknown.yaml',
    text: workload(`  replica: 3\n${template('hello:7')}`, 'unknown'),
    says: 'unknown.yaml:5:3 spec.replica: unknown field "replica"',
    resource: 'Workload/unknown',
  },
  {
    file: 'type.yaml',
    text: workload(`  replicas: three\n${template('hello:7')}`, 'type'),
    says: 'type.yaml:5:13 spec.replicas: expected a whole number, found "three"',
    resource: 'Workload/type',
  },
  {
    file: 'alias.yaml',
    text: `a: &a [x, x, x, x, x, x, x, x, x]\n${'bcdefghij'
      .split('')
      .map((name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghi'[index]}`).join(', ')}]`)
      .join('\n')}\n`,
    says: 'alias.yaml:5:12 e[1]: the document holds more than 20000 values',
  },
  { file: 'deep.yaml', text: '['.repeat(100_000), says: 'deep.yaml:1:105: the document is nested too deeply' },
  {
    file: 'huge.yaml',
    text: `apiVersion: sluice/v1\n# ${'x'.repeat(50 * 2 ** 20)}\n`,
    says: 'huge.yaml:1:1: the file is larger than',
  },
  {
    file: 'binary.yaml',
    text: Buffer.from(Array.from({ length: 2048 }, (_, index) => (index * 131) % 256)),
    says: 'binary.yaml:1:1: the file is not UTF-8 text',
  },
  {
    file: 'proto.yaml',
    text: workload(`  __proto__: {replicas: 3}\n${template('hello:7')}`, 'proto'),
    says: 'proto.yaml:5:3 spec: the key "__proto__" is not allowed',
  },
  {
    file: 'name.yaml',
    text: workload(template('hello:7'), '../../etc'),
    says: 'name.yaml:3:18 metadata.name: expected lower-case letters',
  },
  {
    file: 'slash.yaml',
    text: workload(template('hello:7'), 'a/b'),
    says: 'slash.yaml:3:18 metadata.name: expected lower-case letters',
  },
  {
    file: 'image.yaml',
    text: workload(template('../../etc:1'), 'image'),
    says: 'image.yaml:8:30 spec.template.spec.containers[0].image: expected name:tag',
    resource: 'Workload/image',
  },
  {
    file: 'twin-a.yaml',
    text: workload(template('hello:7'), 'twin'),
    says: 'twin-a.yaml:3:18 metadata.name: Workload "twin" is declared at twin-b.yaml:3:18 too',
    resource: 'Workload/twin',
  },
  {
    file: 'twin-b.yaml',
    text: workload(template('hello:7'), 'twin'),
    says: 'twin-b.yaml:3:18 metadata.name: Workload "twin" is declared at twin-a.yaml:3:18 too',
  },
  {
    file: 'noimage.yaml',
    text: workload(template('missing:1'), 'noimage'),
    says: 'noimage.yaml:8:30 spec.template.spec.containers[0].image: there is no image "missing:1"',
    resource: 'Workload/noimage',
  },
  {
    file: 'notarget.yaml',
    text: workload(`  target: moon\n${template('hello:7')}`, 'notarget'),
    says: 'notarget.yaml:5:11 spec.target: there is no valid Target "moon"',
    resource: 'Workload/notarget',
  },
  {
    file: 'noconfig.yaml',
    text: workload(
      '  template:\n    spec:\n      containers:\n        - name: web\n          image: hello:7\n          envFrom: [{configMapRef: {name: nothing}}]\n',
      'noconfig',
    ),
    says: 'noconfig.yaml:10:43 spec.template.spec.containers[0].envFrom[0].configMapRef: there is no valid ConfigMap "nothing"',
    resource: 'Workload/noconfig',
  },
  {
    file: 'sum.yaml',
    text: `apiVersion: sluice/v1\nkind: Service\nmetadata: {name: sum}\nspec:\n  traffic: {percent: {latest: 20, stable: 70}}\n${template('hello:7')}`,
    says: 'sum.yaml:5:13 spec.traffic.percent: latest 20 and stable 70 come to 90; the sum must be 100',
    resource: 'Service/sum',
  },
  {
    file: 'clear.yaml',
    text: 'apiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {key: hunter2}\n',
    says: 'clear.yaml:2:7 kind: a Secret in the clear must not be in Git',
  },
];
