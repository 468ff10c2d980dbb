/** What a commit declares: references, duplicates, revisions, and what is taken over from the commit before. */
import t from 'tap';
import type { Resolved } from '../../src/manifest/resolve.ts';
import type { ReplicasResource } from '../../src/manifest/resource.ts';
import { IMAGES, oidOf, repository, said } from './commit.ts';

const workload = (name: string, spec = '', container = '') => `apiVersion: sluice/v1
kind: Workload
metadata: {name: ${name}}
spec:
${spec}  template: {spec: {containers: [{name: web, image: "web:1"${container}}]}}
`;
const configMap = (name: string, data: string) => `apiVersion: v1
kind: ConfigMap
metadata: {name: ${name}}
data: ${data}
`;
const target = (name: string, spec: string) => `apiVersion: sluice/v1
kind: Target
metadata: {name: ${name}}
spec: ${spec}
`;
const FROM_SHOP = ', envFrom: [{configMapRef: {name: shop}}]';

const only = (resolved: Resolved) => {
  t.strictSame(said(resolved.diagnostics), []);
  const [resource] = resolved.resources.values();
  if (resource === undefined) throw new Error('no resource');
  return resource as ReplicasResource;
};

t.test('a resource is complete: spec, revision, what it runs, and from which files', async (t) => {
  const texts = { 'web.yaml': workload('web', '', FROM_SHOP), 'conf/shop.yaml': configMap('shop', '{a: "1"}') };
  const resource = only(repository()(texts));
  t.equal(resource.id, 'Workload/web');
  t.match(resource.revision, /^[0-9a-f]{10}$/);
  t.match(resource.digest, /^[0-9a-f]{16}$/);
  t.strictSame(resource.place, { file: 'web.yaml', line: 3, column: 18 });
  t.strictSame(resource.runnable.configMaps, { shop: { data: { a: '1' }, binaryData: {} } });
  t.strictSame(resource.runnable.images, {
    'web:1': {
      name: 'web:1',
      tree: oidOf(`tree ${IMAGES['images/web/1']}`),
      command: ['node', 'one.js'],
      env: {},
    },
  });
  t.strictSame(resource.inputs, [
    { path: 'web.yaml', oid: oidOf(texts['web.yaml']) },
    { path: 'conf/shop.yaml', oid: oidOf(texts['conf/shop.yaml']) },
    { path: 'images/web/1', oid: oidOf(`tree ${IMAGES['images/web/1']}`) },
  ]);
});

t.test('what changes what runs makes a revision, what changes only how makes none', async (t) => {
  const revision = (texts: Record<string, string>, images: Record<string, string> = IMAGES) =>
    only(repository()(texts, images)).revision;
  const shop = configMap('shop', '{a: "1"}');
  const base = revision({ 'web.yaml': workload('web', '', FROM_SHOP), 'shop.yaml': shop });
  const how = [
    'replicas: 7',
    'strategy: {rollingUpdate: {maxSurge: 3}}',
    'host: other.localhost',
    'paused: true',
    'onFailure: rollback',
    'minReadySeconds: 5',
    'description: hello',
    'windows: [{cron: "0 2 * * 6", duration: 4h}]',
  ];
  for (const line of how)
    t.equal(
      revision({ 'web.yaml': workload('web', `  ${line}\n`, FROM_SHOP), 'shop.yaml': shop }),
      base,
      `${line} is how`,
    );
  t.equal(revision({ 'b.yaml': shop, 'a/b.yml': workload('web', '', FROM_SHOP) }), base, 'nor where it lies');
  t.equal(revision({ 'x.yaml': workload('x', '', FROM_SHOP), 'shop.yaml': shop }), base, 'nor what it is called');
  const what: [string, string, string, Record<string, string>][] = [
    ['an argument', `${FROM_SHOP}, args: [a]`, shop, IMAGES],
    ['a value of a ConfigMap', FROM_SHOP, configMap('shop', '{a: "2"}'), IMAGES],
    ['a key of a ConfigMap', FROM_SHOP, configMap('shop', '{a: "1", b: ""}'), IMAGES],
    ['what lies in the image', FROM_SHOP, shop, { 'images/web/1': 'command: [node, other.js]\n' }],
  ];
  for (const [name, container, map, images] of what)
    t.not(revision({ 'web.yaml': workload('web', '', container), 'shop.yaml': map }, images), base, name);
});

t.test('everything declared changes the digest', async (t) => {
  const digest = (spec: string) => only(repository()({ 'web.yaml': workload('web', spec) })).digest;
  t.not(digest('  replicas: 2\n'), digest('  replicas: 3\n'));
  t.equal(digest('  replicas: 2\n'), digest('  replicas: 2\n'));
});

t.test('what a reference does not find is told at its place, with what was probably meant', async (t) => {
  const env = (ref: string) => `, env: [{name: A, valueFrom: {configMapKeyRef: ${ref}}}]`;
  const cases: [what: string, texts: Record<string, string>, says: string[]][] = [
    [
      'a target',
      { 'a.yaml': workload('web', '  target: locl\n') },
      ['a.yaml:5:11 spec.target: there is no Target "locl"; did you mean "local"? [missing-reference]'],
    ],
    [
      'an image',
      { 'a.yaml': workload('web').replace('web:1', 'web:3') },
      [
        'a.yaml:5:53 spec.template.spec.containers[0].image: there is no image "web:3": the folder "images/web/3" is not in this commit; add it with an image.yaml [missing-reference]',
      ],
    ],
    [
      'a ConfigMap',
      { 'a.yaml': workload('web', '', FROM_SHOP), 'b.yaml': configMap('shoop', '{}') },
      [
        'a.yaml:5:94 spec.template.spec.containers[0].envFrom[0].configMapRef: there is no ConfigMap "shop"; did you mean "shoop"? [missing-reference]',
      ],
    ],
    [
      'a key of a ConfigMap',
      {
        'a.yaml': workload('web', '', env('{name: shop, key: greting}')),
        'b.yaml': configMap('shop', '{greeting: x}'),
      },
      [
        'a.yaml:5:114 spec.template.spec.containers[0].env[0].valueFrom.configMapKeyRef: there is no key of ConfigMap "shop" "greting"; did you mean "greeting"? [missing-reference]',
      ],
    ],
    [
      'a key that every object answers for',
      { 'a.yaml': workload('web', '', env('{name: shop, key: toString}')), 'b.yaml': configMap('shop', '{a: x}') },
      [
        'a.yaml:5:114 spec.template.spec.containers[0].env[0].valueFrom.configMapKeyRef: there is no valid key of ConfigMap "shop" "toString"; declared: a [missing-reference]',
      ],
    ],
    [
      'a ConfigMap that is not valid',
      { 'a.yaml': workload('web', '', FROM_SHOP), 'b.yaml': configMap('shop', '{a: 1}') },
      [
        'a.yaml:5:94 spec.template.spec.containers[0].envFrom[0].configMapRef: ConfigMap "shop" is invalid; see the error at its own place [invalid-reference]',
        'b.yaml:4:11 data.a: expected text, found a number; put it in quotes [wrong-type]',
      ],
    ],
  ];
  for (const [what, texts, says] of cases) {
    const resolved = repository()(texts);
    t.strictSame(said(resolved.diagnostics), says, what);
    t.strictSame([...resolved.invalid], ['Workload/web'], what);
    t.equal(resolved.resources.size, 0, what);
  }
});

t.test('what is optional need not be there', async (t) => {
  const container =
    ', env: [{name: A, valueFrom: {configMapKeyRef: {name: no, key: a, optional: true}}}], envFrom: [{configMapRef: {name: nor, optional: true}}]';
  t.strictSame(only(repository()({ 'a.yaml': workload('web', '', container) })).runnable.configMaps, {});
});

t.test('an image that is no image is told in its folder and where it is named', async (t) => {
  const texts = { 'a.yaml': workload('web') };
  const [here, there] = said(repository()(texts, { 'images/web/1': 'comand: [node]\n' }).diagnostics).slice(0, 2);
  t.match(
    here,
    /^a\.yaml:5:53 spec.template.*the image "web:1" is invalid; see the error in images\/web\/1\/image.yaml/,
  );
  t.match(there, /^images\/web\/1\/image\.yaml:1:1 command: missing/);
});

t.test('two of a name make both invalid, wherever they lie', async (t) => {
  const one = workload('web', '  host: a.localhost\n');
  const two = workload('web', '  host: b.localhost\n');
  const resolved = repository()({ 'a.yaml': one, 'b/c.yml': two, 'ok.yaml': workload('ok') });
  t.strictSame(said(resolved.diagnostics), [
    'a.yaml:3:18 metadata.name: Workload "web" is declared at b/c.yml:3:18 too, which makes all of them invalid; rename or remove one [duplicate-name]',
    'b/c.yml:3:18 metadata.name: Workload "web" is declared at a.yaml:3:18 too, which makes all of them invalid; rename or remove one [duplicate-name]',
  ]);
  t.strictSame([...resolved.invalid], ['Workload/web']);
  t.strictSame([...resolved.resources.keys()], ['Workload/ok']);
});

t.test('a name may be there once per kind', async (t) => {
  const service = workload('web', '  host: other.localhost\n').replace('Workload', 'Service');
  const resolved = repository()({ 'a.yaml': `${workload('web')}---\n${service}` });
  t.strictSame([...resolved.resources.keys()].sort(), ['Service/web', 'Workload/web']);
});

t.test('two resources at one host are both invalid until one moves', async (t) => {
  const commit = repository();
  const shared = { 'a.yaml': workload('a', '  host: x.localhost\n'), 'b.yaml': workload('b', '  host: x.localhost\n') };
  const resolved = commit(shared);
  t.match(said(resolved.diagnostics), [
    'a.yaml:5:9 spec.host: the host "x.localhost" is also that of Workload/b, which makes all of them invalid; give each a host of its own [duplicate-host]',
    'b.yaml:5:9 spec.host: the host "x.localhost" is also that of Workload/a, which makes all of them invalid; give each a host of its own [duplicate-host]',
  ]);
  t.strictSame([...resolved.invalid].sort(), ['Workload/a', 'Workload/b']);
  const mended = commit({ ...shared, 'b.yaml': workload('b') });
  t.strictSame(said(mended.diagnostics), []);
  t.strictSame([...mended.resources.keys()].sort(), ['Workload/a', 'Workload/b']);
});

t.test('what did not change is the same object in the next commit', async (t) => {
  const commit = repository();
  const texts = {
    'a.yaml': workload('a', '', FROM_SHOP),
    'b.yaml': workload('b'),
    'shop.yaml': configMap('shop', '{a: "1"}'),
  };
  const first = commit(texts);
  const second = commit({ ...texts, 'shop.yaml': configMap('shop', '{a: "2"}') });
  t.not(second.resources.get('Workload/a'), first.resources.get('Workload/a'), 'its ConfigMap changed');
  t.equal(second.resources.get('Workload/b'), first.resources.get('Workload/b'));
  const third = commit({ ...texts, 'b.yaml': workload('b', '  replicas: 2\n') });
  t.equal(third.resources.get('Workload/a')?.revision, first.resources.get('Workload/a')?.revision, 'as it was first');
  t.not(third.resources.get('Workload/b'), first.resources.get('Workload/b'));
  t.match(first.resources.get('Workload/b')?.spec, { replicas: 1 }, 'and the first is as it was');
});

t.test('a file that cannot be read is known as such, and what else there is goes on', async (t) => {
  const resolved = repository()({ 'a.yaml': 'kind: [', 'b.yaml': workload('web') });
  t.strictSame([...resolved.unreadable], ['a.yaml']);
  t.strictSame([...resolved.resources.keys()], ['Workload/web']);
});

t.test('what lies in an image folder is content, not a manifest', async (t) => {
  const texts = {
    'a.yaml': workload('web', '  target: big\n'),
    't.yaml': target('big', '{local: {images: box}}'),
    'box/web/1/deploy.yaml': 'kind: [',
    'images/x/1/deploy.yaml': 'kind: [',
  };
  const resolved = repository()(texts, { 'box/web/1': 'command: [a]\n' });
  t.strictSame(said(resolved.diagnostics), []);
  t.match([...resolved.resources.values()], [{ inputs: [{}, { path: 'box/web/1' }] }]);
});

t.test('images in a folder of the machine are known by name only', async (t) => {
  const texts = {
    'a.yaml': workload('web', '  target: big\n'),
    't.yaml': target('big', '{local: {images: /srv/images}}'),
  };
  const resource = only(repository()(texts, {}));
  t.strictSame(resource.runnable.images, { 'web:1': { name: 'web:1', command: [], env: {} } });
  t.equal(resource.inputs.length, 1);
});

t.test('a policy of the target holds what runs on it, and nothing else', async (t) => {
  const policy = target('strict', '{local: {}, policy: {resources: container-instance}}');
  const resolved = repository()({
    'a.yaml': workload('free'),
    'b.yaml': workload('web', '  target: strict\n'),
    'c.yaml': workload('good', '  target: strict\n', ', resources: {limits: {cpu: 1, memory: 2Gi}}'),
    't.yaml': policy,
  });
  t.strictSame(said(resolved.diagnostics), [
    'b.yaml:6:34 spec.template.spec.containers[0].resources: Target "strict" admits container instances only: cpu is missing; set resources.limits.cpu [policy]',
    'b.yaml:6:34 spec.template.spec.containers[0].resources: Target "strict" admits container instances only: memory is missing; set resources.limits.memory [policy]',
  ]);
  t.strictSame([...resolved.invalid], ['Workload/web']);
  t.strictSame([...resolved.resources.keys()].sort(), ['Workload/free', 'Workload/good']);
});

t.test('an operation is known by its name and content', async (t) => {
  const operation = (reason: string) =>
    `apiVersion: sluice/v1\nkind: Operation\nmetadata: {name: go-on}\nspec: {resource: Service/shop, rollout: 7, action: continue, reason: ${reason}}\n`;
  const found = (text: string) => repository()({ 'o.yaml': text }).operations.get('go-on');
  t.match(found(operation('fine')), { name: 'go-on', resource: 'Service/shop', rollout: 7, action: 'continue' });
  t.equal(found(operation('fine'))?.digest, found(operation('fine'))?.digest);
  t.not(found(operation('fine'))?.digest, found(operation('better'))?.digest);
});
