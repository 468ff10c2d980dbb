/** A fleet and a cluster of this machine, from commits to instances and back. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
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
  until,
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
    const upgraded = await settled(at, 'Fleet/web', 2, 60);
    t.strictSame(
      upgraded.rollout.stages.map(({ name }: { name: string }) => name),
      ['batch 1 of 2', 'batch 2 of 2'],
    );
    t.equal((await get(at, 'web.localhost')).body, '8');
    git(at.repo, 'revert', '--no-edit', 'HEAD');
    const back = await settled(at, 'Fleet/web', 3, 60);
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
  await until('it waits', () => status(at, 'Fleet/web')?.rollout?.reason === 'Failure', 60);
  const seen = await sluice(at, 'status', 'Fleet/web');
  t.equal(seen.code, 1);
  t.match(seen.output, /sluice retry Fleet\/web web-2/);
  rmSync(mark);
  t.equal((await sluice(at, 'retry', 'Fleet/web', 'web-2')).code, 0);
  await settled(at, 'Fleet/web', 2, 60);
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
  await settled(at, 'Fleet/web', 2, 60);
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
  const upgraded = await settled(at, 'Cluster/prod', 2, 60);
  t.match(upgraded.rollout.stages[0].name, /^control plane 1 of 1/);
  t.match((await sluice(at, 'status', 'Cluster/prod')).output, /1\.36\.0/);
  commit(at, { 'prod.yaml': cluster('1.38.0') }, '1.38');
  await until('it is refused', () => status(at, 'Cluster/prod')?.rollout?.phase === 'Failed', 30);
  t.match(status(at, 'Cluster/prod').rollout.message, /more than one minor/);
  commit(at, { 'prod.yaml': cluster('1.35.0') }, 'back');
  await until(
    'it is refused',
    () => status(at, 'Cluster/prod')?.rollout?.id === 4 && status(at, 'Cluster/prod').rollout.phase === 'Failed',
    30,
  );
  t.match(status(at, 'Cluster/prod').rollout.message, /never downgraded/);
});
