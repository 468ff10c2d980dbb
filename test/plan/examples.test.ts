/** What `sluice plan` says of the examples' fleet and cluster, over a simulated fleet and cluster. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { declaredByFiles } from '../../src/cli/declared.ts';
import type { ClusterResource, FleetResource, ResourceId } from '../../src/manifest/resource.ts';
import { changeOf } from '../../src/plan/change.ts';
import { describeText } from '../../src/plan/describe.ts';
import { nothingSettled } from '../../src/plan/plan.ts';
import { commit, type FleetWorld, fleetWorld, operate, run } from '../support/fleet-world.ts';

const EXAMPLES = fileURLToPath(new URL('../../../examples-repo', import.meta.url));
type Declared = FleetResource | ClusterResource;

/** The resource as it is declared once these texts are replaced. */
async function declared(id: ResourceId, file: string, ...changes: [from: string, to: string][]): Promise<Declared> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-examples-'));
  try {
    cpSync(EXAMPLES, folder, { recursive: true });
    const text = readFileSync(join(folder, file), 'utf8');
    const changed = changes.reduce((before, [from, to]) => {
      if (!before.includes(from)) throw new Error(`${file} has no ${from}`);
      return before.replace(from, to);
    }, text);
    writeFileSync(join(folder, file), changed);
    const { resources, diagnostics } = await declaredByFiles(folder, '');
    const found = resources.get(id);
    if (found?.spec.kind !== 'Fleet' && found?.spec.kind !== 'Cluster') throw new Error(JSON.stringify(diagnostics));
    return found as Declared;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Rolled out one after the other, whoever has to continue. */
function settled(...resources: Declared[]): FleetWorld {
  const [first] = resources;
  if (first === undefined) throw new Error('nothing is declared');
  const w = fleetWorld(first, []);
  for (const [index, resource] of resources.entries()) {
    if (index > 0) commit(w, resource, `c${index + 1}`);
    const isDone = () => w.phases.at(-1) === `${index + 1} Succeeded`;
    run(w, () => isDone() || w.phases.at(-1) === `${index + 1} Paused Batch`);
    if (!isDone()) operate(w, 'continue');
    run(w, isDone);
  }
  return w;
}

/** Revisions by their order, as they are digests of the examples' text. */
function planned(w: FleetWorld, after: Declared, revisions: Declared[]): string {
  const known = { settled: w.state?.settled ?? nothingSettled, history: [], instances: w.machines };
  const change = changeOf(w.declared, after, known);
  return revisions.reduce(
    (text, { revision }, index) => text.replaceAll(revision, `r${index + 1}`),
    describeText(change ? [change] : []),
  );
}

const lines = (...text: string[]) => `${text.join('\n')}\n`;

t.test('the fleet: an upgrade by image and script, and the way back', async (t) => {
  const first = await declared('Fleet/pictures', 'pictures.yaml');
  const second = await declared(
    'Fleet/pictures',
    'pictures.yaml',
    ['image: pictures:1', 'image: pictures:2'],
    ['echo "teal', 'echo "plum'],
  );
  t.equal(
    planned(settled(first), second, [first, second]),
    lines(
      'Fleet/pictures is upgraded: r1 → r2',
      '  1. batch 1 of 2  2 to r2: pictures-1, pictures-2; then wait for a continue',
      '  2. batch 2 of 2  2 to r2: pictures-3, pictures-4',
    ),
  );
  t.equal(
    planned(settled(first, second), first, [first, second]),
    lines(
      'Fleet/pictures goes back: r2 → r1',
      '  1. batch 1 of 2  2 back to r1, undoing r2: pictures-1, pictures-2; then wait for a continue',
      '  2. batch 2 of 2  2 back to r1, undoing r2: pictures-3, pictures-4',
      '  note: a rollback waits for no window; its pauses are those of the fleet',
    ),
  );
});

t.test('the fleet: a script without a rollback script is told when it is to be undone', async (t) => {
  const first = await declared('Fleet/pictures', 'pictures.yaml');
  const second = await declared('Fleet/pictures', 'pictures.yaml', ['    rollback: sed', '    # sed']);
  t.match(
    planned(settled(first, second), first, [first, second]),
    '  note: r2 has no rollback script: what its script did stays, nothing is run to undo it\n',
  );
});

t.test('the cluster: an upgrade node by node; a way back is refused beforehand', async (t) => {
  const first = await declared('Cluster/stock', 'stock.yaml');
  const second = await declared('Cluster/stock', 'stock.yaml', ['version: 1.0.0', 'version: 1.1.0']);
  t.equal(
    planned(settled(first), second, [first, second]),
    lines(
      'Cluster/stock is upgraded: r1 → r2, version 1.0.0 → 1.1.0',
      '  1. control plane 1 of 3: stock-cp-1  1 to r2: stock-cp-1',
      '  2. control plane 2 of 3: stock-cp-2  1 to r2: stock-cp-2',
      '  3. control plane 3 of 3: stock-cp-3  1 to r2: stock-cp-3',
      '  4. batch 1 of 3                      1 to r2: stock-node-1',
      '  5. batch 2 of 3                      2 to r2: stock-node-2, stock-node-3',
      '  6. batch 3 of 3                      1 to r2: stock-node-4',
    ),
  );
  t.match(
    planned(settled(first, second), first, [first, second]),
    /^Cluster\/stock goes back: r2 → r1, version 1\.1\.0 → 1\.0\.0\n[\s\S]*\n {2}note: its precheck will fail: a cluster is never downgraded; go forward to a later version\n$/,
  );
});
