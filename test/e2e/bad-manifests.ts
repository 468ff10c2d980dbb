/** Every sort of manifest that cannot be used, and what is said of it at its place. */

const workload = (spec: string, name = 'x') =>
  `apiVersion: sluice/v1\nkind: Workload\nmetadata: {name: ${name}}\nspec:\n${spec}`;
const template = (image: string) =>
  `  template:\n    spec:\n      containers:\n        - {name: web, image: "${image}", ports: [{containerPort: 8080}]}\n`;

export interface Bad {
  file: string;
  text: string | Buffer;
}

export const BAD: Bad[] = [
  { file: 'broken.yaml', text: 'apiVersion: sluice/v1\nkind: [Workload\n' },
  { file: 'unknown.yaml', text: workload(`  replica: 3\n${template('hello:1')}`, 'unknown') },
  { file: 'type.yaml', text: workload(`  replicas: three\n${template('hello:1')}`, 'type') },
  {
    file: 'alias.yaml',
    text: `a: &a [x, x, x, x, x, x, x, x, x]\n${'bcdefghij'
      .split('')
      .map((name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghi'[index]}`).join(', ')}]`)
      .join('\n')}\n`,
  },
  { file: 'deep.yaml', text: '['.repeat(100_000) },
  { file: 'huge.yaml', text: `apiVersion: sluice/v1\n# ${'x'.repeat(50 * 2 ** 20)}\n` },
  { file: 'binary.yaml', text: Buffer.from(Array.from({ length: 2048 }, (_, index) => (index * 131) % 256)) },
  { file: 'proto.yaml', text: workload(`  __proto__: {replicas: 3}\n${template('hello:1')}`, 'proto') },
  { file: 'name.yaml', text: workload(template('hello:1'), '../../etc') },
  { file: 'slash.yaml', text: workload(template('hello:1'), 'a/b') },
  { file: 'image.yaml', text: workload(template('../../etc:1'), 'image') },
  { file: 'twin-a.yaml', text: workload(template('hello:1'), 'twin') },
  { file: 'twin-b.yaml', text: workload(template('hello:1'), 'twin') },
  { file: 'noimage.yaml', text: workload(template('missing:1'), 'noimage') },
  { file: 'notarget.yaml', text: workload(`  target: moon\n${template('hello:1')}`, 'notarget') },
  {
    file: 'noconfig.yaml',
    text: workload(
      '  template:\n    spec:\n      containers:\n        - name: web\n          image: hello:1\n          envFrom: [{configMapRef: {name: nothing}}]\n',
      'noconfig',
    ),
  },
  {
    file: 'sum.yaml',
    text: `apiVersion: sluice/v1\nkind: Service\nmetadata: {name: sum}\nspec:\n  traffic: {percent: {latest: 20, stable: 70}}\n${template('hello:1')}`,
  },
  {
    file: 'clear.yaml',
    text: 'apiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {key: hunter2}\n',
  },
];
