/** Whatever commits follow each other: a difference leads to what reading everything anew leads to. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { changedKeys, empty, fromEntries } from '../../src/manifest/persistent-map.ts';
import { type Resolved, resolve } from '../../src/manifest/resolve.ts';
import type { Resource } from '../../src/manifest/resource.ts';
import type { ScriptFile } from '../../src/manifest/script-file.ts';
import { imagesOf, oidOf, surveyor } from './commit.ts';

/** A repository: files, image folders with their `image.yaml`, scripts. */
interface Tree {
  texts: Record<string, string>;
  images: Record<string, string>;
  scripts: Record<string, string>;
}

interface Change {
  part: keyof Tree;
  path: string;
  /** Absent: it is removed. */
  text: string | undefined;
}

const pick = (...values: string[]) => fc.constantFrom(...values);
/** So few of each that they collide. */
const names = pick('a', 'b', 'c');
const resourceNames = pick('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
const hosts = pick('', '  host: x.localhost\n', '  host: x.localhost\n', '  host: a.localhost\n');
const targets = pick('', '', '', '  target: box\n', '  target: hosts\n', '  target: no\n');

const replicas = fc
  .tuple(
    pick('Workload', 'Service'),
    resourceNames,
    hosts,
    targets,
    pick('web:1', 'web:1', 'web:2'),
    pick('', '', '', 'a', 'b'),
    fc.nat(2),
  )
  .map(([kind, name, host, target, image, map, count]) => {
    const from = map === '' ? '' : `, env: [{name: A, valueFrom: {configMapKeyRef: {name: ${map}, key: k}}}]`;
    const template = `  template: {spec: {containers: [{name: web, image: "${image}"${from}}]}}`;
    return `apiVersion: sluice/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec:\n  replicas: ${count}\n${host}${target}${template}\n`;
  });
const fleet = fc
  .tuple(
    resourceNames,
    hosts,
    targets,
    pick('size: 1', 'size: 1', 'selector: {role: web}'),
    pick('image: "web:1"', 'script: {runFile: up.sh}'),
  )
  .map(
    ([name, host, target, members, what]) =>
      `apiVersion: sluice/v1\nkind: Fleet\nmetadata: {name: ${name}}\nspec:\n${host}${target}  ${members}\n  ${what}\n`,
  );
const configMap = fc
  .tuple(names, pick('k', 'l'), fc.nat(2))
  .map(
    ([name, key, value]) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {${key}: "${value}"}\n`,
  );
const SSH =
  '{ssh: {user: u, identityFile: /i, knownHostsFile: /k, hosts: [{name: h, address: 10.0.0.1, labels: {role: web}}]}}';
const target = fc
  .tuple(
    pick('box', 'hosts', 'local'),
    pick(
      '{local: {}}',
      '{local: {images: box}}',
      '{local: {images: ./box/}}',
      '{local: {images: /srv}}',
      '{local: {}, policy: {resources: container-instance}}',
      SSH,
      '{nothing: {}}',
    ),
  )
  .map(([name, spec]) => `apiVersion: sluice/v1\nkind: Target\nmetadata: {name: ${name}}\nspec: ${spec}\n`);
const operation = fc
  .tuple(names, names)
  .map(
    ([name, resource]) =>
      `apiVersion: sluice/v1\nkind: Operation\nmetadata: {name: ${name}}\nspec: {resource: Workload/${resource}, rollout: 1, action: pause}\n`,
  );
const broken = pick(
  'kind: [',
  'apiVersion: sluice/v1\nkind: Workload\nmetadata: {name: a}\nspec: {replicas: -1}\n',
  '',
);
const anyDocument = fc.oneof(
  { weight: 12, arbitrary: replicas },
  { weight: 3, arbitrary: fleet },
  { weight: 3, arbitrary: configMap },
  target,
  operation,
  broken,
);
const text = fc.array(anyDocument, { minLength: 1, maxLength: 2 }).map((documents) => documents.join('---\n'));

const removable = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 3 });
const change: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      part: fc.constant('texts' as const),
      path: pick('a.yaml', 'b.yaml', 'f/c.yaml', 'f/d.yaml', 'box/web/1/x.yaml', 'images/x.yaml', 't.yaml', 'm.yaml'),
      text: removable(text),
    }),
  },
  fc.record({
    part: fc.constant('images' as const),
    path: pick('images/web/1', 'images/web/2', 'box/web/1'),
    text: removable(pick('command: [one]\n', 'command: [two]\n', 'command: 3\n')),
  }),
  fc.record({
    part: fc.constant('scripts' as const),
    path: pick('up.sh', 'f/up.sh'),
    text: removable(pick('true\n', 'false\n', ' ')),
  }),
);
const commits = fc.array(fc.array(change, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 12 });

const document = (kind: string, name: string, rest: string) =>
  `apiVersion: ${kind === 'ConfigMap' ? 'v1' : 'sluice/v1'}\nkind: ${kind}\nmetadata: {name: ${name}}\n${rest}\n`;
/** What is named is there at first. */
const FIRST: Tree = {
  texts: {
    't.yaml': document('Target', 'box', 'spec: {local: {images: box}}'),
    'h.yaml': document('Target', 'hosts', `spec: ${SSH}`),
    'm.yaml': ['a', 'b'].map((name) => document('ConfigMap', name, 'data: {k: v}')).join('---\n'),
  },
  images: { 'images/web/1': 'command: [one]\n', 'images/web/2': 'command: [two]\n', 'box/web/1': 'command: [a]\n' },
  scripts: { 'up.sh': 'true\n', 'f/up.sh': 'true\n' },
};

function apply(tree: Tree, changes: Change[]): Tree {
  const next: Tree = { texts: { ...tree.texts }, images: { ...tree.images }, scripts: { ...tree.scripts } };
  for (const { part, path, text } of changes) {
    if (text === undefined) delete next[part][path];
    else next[part][path] = text;
  }
  return next;
}

const contents = new Map<string, ScriptFile>();

function scriptOf(content: string): ScriptFile {
  const script = contents.get(content) ?? { oid: oidOf(content), content };
  contents.set(content, script);
  return script;
}

function repository() {
  const look = surveyor();
  let last: Resolved | undefined;
  return ({ texts, images, scripts }: Tree): Resolved => {
    const seen = look(texts);
    const found = new Map<string, ScriptFile>();
    for (const [path, content] of Object.entries(scripts))
      if (seen.scripts.has(path)) found.set(path, scriptOf(content));
    last = resolve(last, seen, imagesOf(seen, images), found);
    return last;
  };
}

const sorted = <V>(map: ReadonlyMap<string, V>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
const declared = ({ resources, operations, targets, hostTargets, diagnostics, invalid, unreadable }: Resolved) => ({
  resources: sorted(resources),
  operations: sorted(operations),
  targets: sorted(targets),
  hostTargets: sorted(hostTargets),
  diagnostics,
  invalid: [...invalid].sort(),
  unreadable: [...unreadable].sort(),
});
const named = ({ memo: { survey } }: Resolved) => ({
  images: [...survey.images.keys()].sort(),
  scripts: [...survey.scripts.keys()].sort(),
});

t.test('commit after commit leads to what each of them leads to alone', async (t) => {
  const seen = { resources: 0, invalid: 0, shared: 0, instances: 0 };
  fc.assert(
    fc.property(commits, (history) => {
      const commit = repository();
      let tree = FIRST;
      let before: { resolved: Resolved; was: ReturnType<typeof declared> } | undefined;
      for (const changes of history) {
        tree = apply(tree, changes);
        const resolved = commit(tree);
        const alone = repository()(tree);
        assert.deepEqual(declared(resolved), declared(alone));
        assert.deepEqual(named(resolved), named(alone));
        if (before !== undefined) {
          assert.deepEqual(declared(before.resolved), before.was, 'the commit before is as it was');
          keptAre(before.resolved.resources, resolved.resources);
        }
        before = { resolved, was: declared(resolved) };
        seen.resources += resolved.resources.size;
        seen.invalid += resolved.invalid.size;
        seen.instances += [...resolved.resources.keys()].filter((id) => id.startsWith('Fleet/')).length;
        seen.shared += resolved.diagnostics.filter(({ code }) => code === 'duplicate-host').length;
      }
    }),
    { numRuns: 300 },
  );
  for (const [what, count] of Object.entries(seen)) t.ok(count > 50, `${count} ${what} were among them`);

  /** What is equal is the same object. */
  function keptAre(before: ReadonlyMap<string, Resource>, after: ReadonlyMap<string, Resource>): void {
    for (const [id, resource] of after) {
      const was = before.get(id);
      if (was?.digest !== resource.digest || JSON.stringify(was) !== JSON.stringify(resource)) continue;
      assert.equal(was, resource, `${id} is the same object`);
    }
  }
});

t.test('an edit of a map is another map, and what differs is found', async (t) => {
  const keys = fc.integer({ min: 0, max: 400 }).map(String);
  const edits = fc.array(fc.tuple(keys, fc.option(fc.nat(3), { nil: undefined })), { maxLength: 600, size: 'max' });
  fc.assert(
    fc.property(edits, edits, (first, second) => {
      const model = new Map<string, number>();
      const run = (from: ReturnType<typeof empty<string, number>>, changes: typeof first) => {
        const edit = from.edit();
        for (const [key, value] of changes) {
          if (value === undefined) {
            edit.delete(key);
            model.delete(key);
          } else {
            edit.set(key, value);
            model.set(key, value);
          }
        }
        return edit.done();
      };
      const one = run(empty(), first);
      const before = new Map(model);
      const other = run(one, second);
      assert.deepEqual(new Map(one), before);
      assert.deepEqual(new Map(other), model);
      assert.equal(other.size, model.size);
      const different = new Set(changedKeys(before, model));
      assert.deepEqual(new Set(changedKeys(one, other)), different);
      assert.deepEqual(new Set(changedKeys(fromEntries(before), other)), different);
    }),
    { numRuns: 60 },
  );
  const map = fromEntries<string, number>([['a', 1]]);
  const same = map.edit();
  same.set('a', 1);
  same.delete('b');
  t.equal(same.done(), map, 'an edit that changes nothing leads to the same map');
});
