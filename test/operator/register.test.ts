import t from 'tap';
import { fromEntries } from '../../src/manifest/persistent-map.ts';
import type { Declared, Operation, Resource, ResourceId } from '../../src/manifest/resource.ts';
import { createRegister } from '../../src/operator/register.ts';
import { newState } from '../../src/rollout/decide.ts';
import { workload } from '../support/resources.ts';

const named = (name: string, digest = '1'): Resource => ({
  ...workload('aaaaaaaaaa'),
  id: `Workload/${name}`,
  digest,
  place: { file: `${name}.yaml`, line: 1, column: 1 },
});

/** Commits that share all that is the same, as they do when one is read as a difference from the other. */
function declared(commit: string, resources: Resource[], over: Partial<Declared> = {}): Declared {
  return {
    commit,
    resources: fromEntries<ResourceId, Resource>(resources.map((resource) => [resource.id, resource])),
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

const [a, b, c, d] = [named('a'), named('b'), named('c'), named('d')];
const state = newState({ commit: 'c0', deletionConfirmed: false });
const remembered = () => state;

/** Also notes for which resources the history was asked. */
function register(
  resourceAt: (commit: string, id: ResourceId) => Promise<Resource | undefined> = async () => undefined,
) {
  const asked: ResourceId[][] = [];
  const commitsOf = async (commit: string, resources: readonly Resource[]) => {
    asked.push(resources.map(({ id }) => id));
    return new Map(resources.map(({ id }) => [id, commit]));
  };
  return { ...createRegister({ resourceAt }, commitsOf), asked };
}

t.test('the first commit tells everything, the next ones what they change', async (t) => {
  const { takeUp, told, asked } = register();
  t.strictSame([...(await takeUp(declared('c1', [a, b, c]), remembered)).keys()], [a.id, b.id, c.id]);
  const other = named('b', '2');
  const next = await takeUp(declared('c2', [a, other, c, d]), remembered);
  t.strictSame([...next.keys()], [b.id, d.id]);
  t.equal(next.get(b.id)?.declaration?.resource, other);
  t.equal(next.get(b.id)?.commit, 'c2');
  t.equal(told(a.id)?.commit, 'c1');
  t.strictSame(asked, [
    [a.id, b.id, c.id],
    [b.id, d.id],
  ]);
  t.equal((await takeUp(declared('c3', [a, other, c, d]), remembered)).size, 0);
});

t.test('what is gone or invalid is told again with every commit, until it is back', async (t) => {
  const { takeUp } = register();
  await takeUp(declared('c1', [a, b, c, d]), remembered);
  const deletion = await takeUp(declared('c2', [a, b, c]), remembered);
  t.strictSame([...deletion.keys()], [d.id]);
  t.match(deletion.get(d.id), { commit: 'c2', declaration: { commit: 'c2', deletionConfirmed: true } });
  const later = await takeUp(declared('c3', [a, b], { invalid: new Set([c.id]) }), remembered);
  t.strictSame([...later.keys()], [c.id, d.id]);
  t.match(later.get(c.id), { commit: 'c1', declaration: { resource: c }, now: { valid: false } });
  t.match(later.get(d.id), { commit: 'c2' }, 'by the commit that deleted it');
  const mended = await takeUp(declared('c4', [a, b, c, d]), remembered);
  t.strictSame([...mended.keys()], [c.id, d.id]);
  t.equal((await takeUp(declared('c5', [a, b, c, d]), remembered)).size, 0);
});

t.test('a file that cannot be read holds what it declared; when it is deleted, so is that', async (t) => {
  const { takeUp } = register();
  await takeUp(declared('c1', [a, b, c, d]), remembered);
  const held = await takeUp(declared('c2', [a, b, c], { unreadable: new Set(['d.yaml']) }), remembered);
  t.match(held.get(d.id), { declaration: { resource: d }, now: { valid: false } });
  const gone = await takeUp(declared('c3', [a, b, c]), remembered);
  t.strictSame([...gone.keys()], [d.id]);
  t.notOk(gone.get(d.id)?.declaration?.resource);
});

t.test('a commit that cannot be taken up changes nothing, and is told whole the next time', async (t) => {
  let fails = false;
  const { takeUp, told } = createRegister({ resourceAt: async () => undefined }, async (commit, resources) => {
    if (fails) throw new Error('the history cannot be read');
    return new Map(resources.map(({ id }) => [id, commit]));
  });
  await takeUp(declared('c1', [a, b]), remembered);
  fails = true;
  const changed = declared('c2', [named('a', '2'), b]);
  await t.rejects(takeUp(changed, remembered), { message: 'the history cannot be read' });
  t.equal(told(a.id)?.declaration?.resource, a);
  fails = false;
  t.strictSame([...(await takeUp(changed, remembered)).keys()], [a.id]);
});

t.test('after a restart, what is invalid now goes on as the commit declared it that the status names', async (t) => {
  const { restore, takeUp } = register(async (commit, id) => (commit === 'c0' && id === a.id ? a : undefined));
  restore(a.id, { ...state, commit: 'c0', digest: '1' });
  restore(b.id, { ...state, commit: 'c0', digest: '1' });
  const told = await takeUp(declared('c1', [b], { invalid: new Set([a.id]) }), remembered);
  t.match(told.get(a.id), { commit: 'c0', declaration: { resource: a }, now: { valid: false } });
  t.equal(told.get(b.id)?.commit, 'c0', 'the history is not asked for what is as it was');
});

t.test(
  'a deletion that waits, and was durable for one resource only when the operator ended, waits for all that it deleted',
  async (t) => {
    const e = named('e');
    const asked: string[] = [];
    const { restore, takeUp } = register(async (commit, id) => {
      asked.push(`${id} at ${commit}`);
      return commit === 'c2' && id === c.id ? c : undefined;
    });
    restore(a.id, { ...state, deletion: { commit: 'c2', confirmed: false } });
    for (const { id } of [b, c, d, e]) restore(id, state);
    const next = await takeUp(declared('c3', [d, e]), remembered);
    t.match(next.get(a.id), { commit: 'c2', declaration: { deletionConfirmed: false } });
    t.match(next.get(b.id), { commit: 'c2', declaration: { deletionConfirmed: false } });
    t.match(
      next.get(c.id),
      { commit: 'c3', declaration: { deletionConfirmed: true } },
      'deleted later, with little else',
    );
    t.strictSame(asked, [`${b.id} at c2`, `${c.id} at c2`]);
    const confirmation = { name: 'yes', action: 'confirmDeletion', commit: 'c2' } as Operation;
    const agreed = await takeUp(declared('c4', [d, e], { operations: new Map([['yes', confirmation]]) }), remembered);
    t.match(agreed.get(b.id), { commit: 'c2', declaration: { deletionConfirmed: true } });
  },
);

t.test(
  'whether a commit that is gone deleted a resource as well cannot be told, so that waits with the others',
  async (t) => {
    const { restore, takeUp } = register(async () => {
      throw new Error('no such commit');
    });
    restore(a.id, { ...state, deletion: { commit: 'c2', confirmed: false } });
    for (const { id } of [b, c, d]) restore(id, state);
    const next = await takeUp(declared('c3', [c, d]), remembered);
    t.match(next.get(b.id), { commit: 'c2', declaration: { deletionConfirmed: false } });
  },
);

t.test(
  'what may stand in a file that cannot be read was not deleted with the others, whoever confirms that',
  async (t) => {
    const { restore, takeUp } = register(async () => undefined);
    restore(a.id, { ...state, deletion: { commit: 'c2', confirmed: false } });
    for (const { id } of [b, c, d]) restore(id, state);
    const operations = new Map([['yes', { name: 'yes', action: 'confirmDeletion', commit: 'c2' } as Operation]]);
    const next = await takeUp(declared('c3', [c, d], { unreadable: new Set(['b.yaml']), operations }), remembered);
    t.match(next.get(a.id), { declaration: { commit: 'c2', deletionConfirmed: true } });
    t.match(next.get(b.id)?.now, { valid: false, errors: /whether it was deleted cannot be told/ });
  },
);

t.test('what was deleted and is declared again as it was comes from the commit that declares it again', async (t) => {
  const { takeUp, asked } = register();
  await takeUp(declared('c1', [a, b, c, d]), remembered);
  await takeUp(declared('c2', [a, b, c]), remembered);
  const next = await takeUp(declared('c3', [a, b, c, d]), remembered);
  t.match(next.get(d.id), { commit: 'c3', declaration: { commit: 'c3', resource: d } });
  t.strictSame(asked.at(-1), [d.id]);
});

t.test(
  'what was deleted and is back, but invalid, goes on as the last valid one from before, also after a restart',
  async (t) => {
    const { restore, takeUp } = register(async (commit, id) => (commit === 'c1' && id === d.id ? d : undefined));
    for (const { id, digest } of [a, b, c]) restore(id, { ...state, commit: 'c1', digest });
    restore(d.id, { ...state, commit: 'c1', digest: d.digest, deletion: { commit: 'c2', confirmed: true } });
    await takeUp(declared('c2', [a, b, c]), remembered);
    const invalid = await takeUp(declared('c3', [a, b, c], { invalid: new Set([d.id]) }), remembered);
    t.match(invalid.get(d.id), { commit: 'c1', declaration: { commit: 'c1', resource: d }, now: { valid: false } });
  },
);
