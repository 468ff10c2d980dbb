import t from 'tap';
import type { Declared, Resource, ResourceId } from '../../src/manifest/resource.ts';
import { type KnownResource, tell } from '../../src/operator/declarations.ts';
import { workload } from '../support/resources.ts';

function named(name: string): Resource {
  return { ...workload('aaaaaaaaaa'), id: `Workload/${name}`, place: { file: `${name}.yaml`, line: 1, column: 1 } };
}

function declared(names: string[], over: Partial<Declared> = {}): Declared {
  return {
    commit: 'c2',
    resources: new Map(names.map((name) => [`Workload/${name}` as ResourceId, named(name)])),
    operations: new Map(),
    targets: new Map(),
    hostTargets: new Map(),
    targetNames: new Set(),
    diagnostics: [],
    invalid: new Set(),
    unreadable: new Set(),
    ...over,
  };
}

const known = (names: string[]): Map<ResourceId, KnownResource> =>
  new Map(
    names.map((name) => [
      `Workload/${name}`,
      { kind: 'Workload', resource: named(name), file: `${name}.yaml`, commit: 'c1' },
    ]),
  );

const tellAll = (now: Declared, before: Map<ResourceId, KnownResource>) => tell(now, before, () => 'c2');

t.test('one of several that is gone is deleted', async (t) => {
  const told = tellAll(declared(['a', 'b']), known(['a', 'b', 'c']));
  t.match(told.get('Workload/c'), { declaration: { commit: 'c2', deletionConfirmed: true } });
  t.notOk(told.get('Workload/c')?.declaration?.resource);
});

t.test('what may stand in a file that cannot be read is not deleted, and nothing is done to it', async (t) => {
  const before = known(['a', 'b']);
  const id: ResourceId = 'Workload/c';
  before.set(id, { kind: 'Workload', commit: 'c1' });
  const place = { file: 'x.yaml', line: 3, column: 1 };
  const error = { place, path: '', severity: 'error' as const, code: 'bad-yaml', message: 'not valid YAML' };
  const told = tellAll(declared(['a', 'b'], { unreadable: new Set(['x.yaml']), diagnostics: [error] }), before);
  t.match(told.get(id), {
    declaration: undefined,
    now: { valid: false, stands: true, errors: /^whether it was deleted cannot be told .*: x\.yaml:3:1/ },
  });
  t.match(tellAll(declared(['a', 'b']), before).get(id), { declaration: { deletionConfirmed: true } });
});

t.test('more than half, or the last of a kind, waits for confirmDeletion with this commit', async (t) => {
  const before = known(['a', 'b', 'c']);
  t.equal(tellAll(declared(['a']), before).get('Workload/c')?.declaration?.deletionConfirmed, false);
  const service: ResourceId = 'Service/only';
  before.set(service, { kind: 'Service', commit: 'c1' });
  t.equal(tellAll(declared(['a', 'b', 'c']), before).get(service)?.declaration?.deletionConfirmed, false);
  const operation = {
    name: 'go',
    digest: 'd',
    action: 'confirmDeletion' as const,
    commit: 'c2',
    place: { file: 'o', line: 1, column: 1 },
  };
  const confirmed = declared(['a'], { operations: new Map([['go', operation]]) });
  t.equal(tellAll(confirmed, known(['a', 'b', 'c'])).get('Workload/c')?.declaration?.deletionConfirmed, true);
});

t.test(
  'a deletion that waits goes on waiting for its own commit, and is forgotten when the manifest is back',
  async (t) => {
    const before = known(['a', 'b']);
    before.set('Workload/c', { kind: 'Workload', commit: 'c1', deletion: { commit: 'c1', confirmed: false } });
    t.match(tellAll(declared(['a', 'b']), before).get('Workload/c')?.declaration, {
      commit: 'c1',
      deletionConfirmed: false,
    });
    t.ok(tellAll(declared(['a', 'b', 'c']), before).get('Workload/c')?.declaration?.resource);
  },
);

t.test('invalid or unreadable is never deleted: the last valid one goes on', async (t) => {
  const diagnostics: Declared['diagnostics'] = [
    {
      place: { file: 'a.yaml', line: 3, column: 7 },
      path: 'spec.replicas',
      severity: 'error',
      code: 'x',
      message: 'too many; use fewer',
      resource: 'Workload/a',
    },
  ];
  const invalid = tellAll(declared([], { invalid: new Set(['Workload/a']), diagnostics }), known(['a']));
  t.match(invalid.get('Workload/a'), {
    declaration: { resource: { id: 'Workload/a' }, commit: 'c1' },
    now: { valid: false, errors: /a\.yaml:3:7 spec\.replicas: too many/ },
  });
  const broken = tellAll(declared(['b'], { unreadable: new Set(['a.yaml']) }), known(['a', 'b']));
  t.match(broken.get('Workload/a'), { declaration: { resource: { id: 'Workload/a' } }, now: { valid: false } });
  const never = tellAll(declared([], { invalid: new Set(['Workload/new']), diagnostics }), known([]));
  t.match(never.get('Workload/new'), { declaration: undefined, now: { valid: false } });
});
