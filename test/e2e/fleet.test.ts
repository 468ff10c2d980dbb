/** A fleet and a cluster of this machine, from commits to instances and back. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { until } from '../support/until.ts';
import {
  clean,
  commit,
  get,
  git,
  image,
  load,
  operator,
  type Place,
  place,
  type Running,
  settled,
  sluice,
  status,
} from './support.ts';

const fleet = (at: string, tag: string, version: string, more = '') => `apiVersion: sluice/v1
kind: Fleet
metadata: {name: web}
spec:
  size: 4
  image: "${tag}"
  batches: 2
${more}  check: [{http: {path: /}}]
  script:
    run: |
      echo "run ${version} $SLUICE_INSTANCE" >> ${at}/acts
      test ! -e ${at}/fails-$SLUICE_INSTANCE
    rollback: |
      echo "undo ${version} $SLUICE_INSTANCE" >> ${at}/acts
`;

const acts = (at: Place): string[] => {
  const file = join(at.root, 'acts');
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
};

async function fleetPlace(): Promise<Place> {
  const at = await place({ ...image('hello', '7'), ...image('hello', '8'), 'README.md': 'a fleet\n' });
  commit(at, { 'web.yaml': fleet(at.root, 'hello:7', 'one') }, 'web one');
  return at;
}

const UNITS = ['web-1', 'web-2', 'web-3', 'web-4'];

t.test(
  'a commit upgrades batch by batch under load, a revert undoes, nothing is lost and nothing runs twice',
  async (t) => {
    const at = await fleetPlace();
    const running = operator(at);
    t.teardown(() => clean(at, running));
    await settled(at, 'Fleet/web', 1);
    t.strictSame(
      acts(at).sort(),
      UNITS.map((unit) => `run one ${unit}`),
    );
    t.equal((await get(at, 'web.localhost')).body, '7');

    const traffic = load(at, 'web.localhost');
    commit(at, { 'web.yaml': fleet(at.root, 'hello:8', 'two') }, 'web two');
    const upgraded = await settled(at, 'Fleet/web', 2);
    t.strictSame(
      upgraded.rollout.stages.map(({ name }: { name: string }) => name),
      ['batch 1 of 2', 'batch 2 of 2'],
    );
    t.equal((await get(at, 'web.localhost')).body, '8');
    git(at.repo, 'revert', '--no-edit', 'HEAD');
    const back = await settled(at, 'Fleet/web', 3);
    t.equal(back.rollout.cause, 'rollback');
    t.equal((await get(at, 'web.localhost')).body, '7');
    const { lost, sent } = await traffic.stop();
    t.strictSame(lost, [], `of ${sent}`);
    t.strictSame(
      acts(at).sort(),
      ['run one', 'run two', 'undo two'].flatMap((act) => UNITS.map((unit) => `${act} ${unit}`)),
    );
    t.match(git(at.repo, 'tag', '-l'), 'sluice/fleet/web/3');
  },
);

t.test('a unit that fails waits for a person; a retry by command goes on', async (t) => {
  const at = await fleetPlace();
  const running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Fleet/web', 1);
  const mark = join(at.root, 'fails-web-2');
  writeFileSync(mark, '');
  commit(at, { 'web.yaml': fleet(at.root, 'hello:7', 'two') }, 'web two');
  await until('it waits', () => status(at, 'Fleet/web')?.rollout?.reason === 'Failure');
  const seen = await sluice(at, 'status', 'Fleet/web');
  t.equal(seen.code, 1);
  t.match(seen.output, /sluice retry Fleet\/web web-2/);
  rmSync(mark);
  t.equal((await sluice(at, 'retry', 'Fleet/web', 'web-2')).code, 0);
  await settled(at, 'Fleet/web', 2);
  t.equal(acts(at).filter((act) => act === 'run two web-2').length, 2);
});

t.test('an operator that is killed while scripts run goes on, and runs none of them twice', async (t) => {
  const at = await fleetPlace();
  let running: Running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Fleet/web', 1);
  commit(
    at,
    { 'web.yaml': fleet(at.root, 'hello:7', 'two').replace('run: |\n', 'run: |\n      sleep 0.7\n') },
    'web two',
  );
  for (const seconds of ['web-1', 'web-3']) {
    await until(`${seconds} is updated`, () =>
      JSON.stringify(status(at, 'Fleet/web')?.rollout?.stages ?? '').includes('"Updating"'),
    );
    running.process.kill('SIGKILL');
    await running.exit;
    running = operator(at);
  }
  await settled(at, 'Fleet/web', 2);
  t.strictSame(
    acts(at)
      .filter((act) => act.startsWith('run two'))
      .sort(),
    UNITS.map((unit) => `run two ${unit}`),
  );
});

const node = (version: string): Record<string, string> => ({
  [`images/node/${version}/image.yaml`]: 'command: [node, server.js]\n',
  [`images/node/${version}/server.js`]: `require('node:http').createServer((_, response) => response.end('${version}')).listen(process.env.PORT, '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
`,
});

const cluster = (version: string) => `apiVersion: sluice/v1
kind: Cluster
metadata: {name: prod}
spec:
  version: ${version}
  image: node
  controlPlane: 1
  nodes: 3
`;

t.test('a cluster goes one minor at a time, the control plane first, and never down', async (t) => {
  const versions = Object.assign({}, ...['1.35.0', '1.36.0', '1.38.0'].map(node));
  const at = await place({ ...versions, 'prod.yaml': cluster('1.35.0') });
  const running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Cluster/prod', 1);
  commit(at, { 'prod.yaml': cluster('1.36.0') }, '1.36');
  const upgraded = await settled(at, 'Cluster/prod', 2);
  t.match(upgraded.rollout.stages[0].name, /^control plane 1 of 1/);
  t.match((await sluice(at, 'status', 'Cluster/prod')).output, /1\.36\.0/);
  commit(at, { 'prod.yaml': cluster('1.38.0') }, '1.38');
  await until('it is refused', () => status(at, 'Cluster/prod')?.rollout?.phase === 'Failed');
  t.match(status(at, 'Cluster/prod').rollout.message, /more than one minor/);
  commit(at, { 'prod.yaml': cluster('1.35.0') }, 'back');
  await until(
    'it is refused',
    () => status(at, 'Cluster/prod')?.rollout?.id === 4 && status(at, 'Cluster/prod').rollout.phase === 'Failed',
    30,
  );
  t.match(status(at, 'Cluster/prod').rollout.message, /never downgraded/);
});

const EXAMPLES = fileURLToPath(new URL('../../../examples-repo', import.meta.url));

/** The manifest of the examples, and the images below `images/<name>`. */
function example(manifest: string, name: string): Record<string, string> {
  const folder = join(EXAMPLES, 'images', name);
  const images = readdirSync(folder, { withFileTypes: true, recursive: true }).flatMap((entry) => {
    if (!entry.isFile()) return [];
    const file = join(entry.parentPath, entry.name);
    return [[file.slice(EXAMPLES.length + 1), readFileSync(file, 'utf8')]];
  });
  return { [manifest]: readFileSync(join(EXAMPLES, manifest), 'utf8'), ...Object.fromEntries(images) };
}

const edited = (at: Place, manifest: string, from: string, to: string) => ({
  [manifest]: readFileSync(join(at.repo, manifest), 'utf8').replaceAll(from, to),
});

/** Where a node of the examples' cluster says that it is. */
async function addressOf(at: Place, node: string): Promise<string> {
  const { output } = await sluice(at, 'logs', 'Cluster/stock', node, '--data-dir', at.data);
  return `http://${output.match(/127\.0\.0\.1:\d+/g)?.at(-1)}`;
}

const keepers = ['stock-cp-1', 'stock-cp-2', 'stock-cp-3'];
const nodes = ['stock-node-1', 'stock-node-2', 'stock-node-3', 'stock-node-4'];

/** Writes to one keeper after the other until it is told to stop; what was acknowledged counts. */
function writeThroughout(at: Place, urls: string[]) {
  const acknowledged = new Map<string, string>();
  let going = true;
  const written = async () => {
    for (let n = 0; going && !at.over.signal.aborted; n++) {
      const url = `${urls[n % urls.length]}/thing-${n % 50}`;
      const answer = await fetch(url, { method: 'PUT', body: String(n), signal: AbortSignal.timeout(5000) }).catch(
        () => undefined,
      );
      await answer?.text();
      if (answer?.ok) acknowledged.set(`thing-${n % 50}`, String(n));
    }
  };
  const done = written();
  return {
    async stop() {
      going = false;
      await done;
      return acknowledged;
    },
  };
}

t.test('the nodes of the examples’ cluster find each other and keep what was written through an upgrade', async (t) => {
  const at = await place(example('stock.yaml', 'stock'));
  const running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Cluster/stock', 1);
  const all = [...keepers, ...nodes];
  const urls = await Promise.all(all.map((node) => addressOf(at, node)));
  const client = writeThroughout(at, urls.slice(0, keepers.length));
  commit(at, edited(at, 'stock.yaml', 'version: 1.0.0', 'version: 1.1.0'), 'stock 1.1.0');
  const { rollout } = await settled(at, 'Cluster/stock', 2);
  const acknowledged = await client.stop();
  t.strictSame(
    rollout.stages.map(({ total }: { total: number }) => total),
    [1, 1, 1, 1, 2, 1],
  );
  t.ok(acknowledged.size > 10, 'there was something to lose');
  for (const [index, node] of all.entries()) {
    const text = await (await fetch(`${urls[index]}/`)).text();
    t.match(text, `stock 1.1.0, ${node}\n`, 'at the address that it had');
    const has = new Map(text.split('\n').map((line) => line.split(' ') as [string, string]));
    t.strictSame(
      [...acknowledged].filter(([thing, number]) => Number(has.get(thing)) < Number(number)),
      [],
      `${node} has all that was acknowledged`,
    );
  }
});

t.test(
  'the examples’ fleet: an upgrade that pauses, a script that fails half way, and back to what it was',
  async (t) => {
    const at = await place(example('pictures.yaml', 'pictures'));
    const running = operator(at);
    t.teardown(() => clean(at, running));
    await settled(at, 'Fleet/pictures', 1);
    const drawn = async () => {
      const seen = new Set<string>();
      for (let n = 0; n < 12; n++)
        seen.add(/pictures \d, drawn in \w+/.exec((await get(at, 'pictures.localhost')).body)?.[0] ?? '');
      return [...seen].sort();
    };
    commit(
      at,
      {
        'pictures.yaml': (edited(at, 'pictures.yaml', 'pictures:1', 'pictures:2')['pictures.yaml'] ?? '').replace(
          '"teal',
          '"plum',
        ),
      },
      'plum',
    );
    await until('the first batch is done', () => status(at, 'Fleet/pictures')?.rollout?.reason === 'Batch');
    t.strictSame(await drawn(), ['pictures 1, drawn in teal', 'pictures 2, drawn in plum']);
    t.equal((await sluice(at, 'continue', 'Fleet/pictures')).code, 0);
    await settled(at, 'Fleet/pictures', 2);
    t.strictSame(await drawn(), ['pictures 2, drawn in plum']);
    const bad = commit(at, edited(at, 'pictures.yaml', '>> ink #', '>> colours/ink #'), 'nowhere');
    await until('it waits', () => status(at, 'Fleet/pictures')?.rollout?.reason === 'Failure');
    t.match(
      (await sluice(at, 'status', 'Fleet/pictures')).output,
      /colours\/ink.*sluice retry Fleet\/pictures pictures-\d/,
    );
    git(at.repo, 'revert', '--no-edit', bad);
    await until('back, batch by batch', () => status(at, 'Fleet/pictures')?.rollout?.reason === 'Batch');
    t.equal((await sluice(at, 'continue', 'Fleet/pictures')).code, 0);
    await settled(at, 'Fleet/pictures', 4);
    t.strictSame(await drawn(), ['pictures 2, drawn in plum'], 'as if the commit had never been');
  },
);
