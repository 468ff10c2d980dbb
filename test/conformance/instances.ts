/** What every driver that creates instances and nodes must do: each behaviour has a resource of its own, and leaves nothing of it behind. */
import { commit, get, git, load, operator, settled, sluice, status, statusOf } from '../e2e/support.ts';
import { until } from '../support/until.ts';
import type { Behaviour, World } from './behaviours.ts';

/** A minute and a half: scripts run one after the other on a machine that may be slow. */
const PATIENCE = 180;

/** `script` says what it does for which instance: that is what the logs of a driver show. */
const fleet = (name: string, image: string, { script, wait = '0', more = '' }: Script = {}) => ({
  [`${name}.yaml`]: `apiVersion: sluice/v1
kind: Fleet
metadata: {name: ${name}}
spec:
  target: place
  size: 3
  image: "${image}"
  batches: 3
${more}${
  script === undefined
    ? ''
    : `  script:
    run: "echo ran ${script} on $SLUICE_INSTANCE; echo ${script} >>ran; sleep ${wait}"
    rollback: "echo undid ${script} on $SLUICE_INSTANCE"
`
}`,
});

interface Script {
  script?: string;
  wait?: string;
  more?: string;
}

const cluster = (name: string, version: string) => ({
  [`${name}.yaml`]: `apiVersion: sluice/v1
kind: Cluster
metadata: {name: ${name}}
spec:
  target: place
  version: ${version}
  image: hello
  controlPlane: 1
  nodes: 2
  upgrade:
    drain: {timeout: 30s, command: [sh, -c, "echo drained $SLUICE_INSTANCE"]}
    script: {run: "echo upgraded $SLUICE_INSTANCE to $SLUICE_VERSION"}
`,
});

/** What scripts said, by attempt. */
async function told({ at }: World, resource: string, pattern: RegExp): Promise<string[]> {
  const { output } = await sluice(at, 'logs', resource, '--data-dir', at.data);
  return [...output.matchAll(pattern)].map(([, text = '']) => text).sort();
}

const units = (name: string) => [1, 2, 3].map((number) => `${name}-${number}`);
const onEach = (name: string, act: string) => units(name).map((unit) => `${act} on ${unit}`);
const ACTS = /\| ((?:ran|undid) \w+ on \S+)/g;

/** The manifest goes, and with it all that ran. */
async function end(world: World, kind: 'Fleet' | 'Cluster', name: string): Promise<void> {
  const { at, harness } = world;
  commit(at, { [`${name}.yaml`]: '' }, `${name} goes`);
  const resource = `${kind}/${name}`;
  await until(`${name} is gone`, async () => (await harness.running(at, resource)).length === 0, PATIENCE);
  await until(`the status of ${name} is gone`, () => status(at, resource) === undefined, PATIENCE);
}

export const INSTANCE_BEHAVIOURS: Behaviour[] = [
  {
    name: 'image, script, revert',
    about: 'a fleet gets an image, then a script, batch by batch, and a revert takes both back; no request is lost',
    async run(world) {
      const { t, at, harness } = world;
      commit(at, fleet('crew', 'hello:7'), 'crew: 7');
      await settled(at, 'Fleet/crew', 1, PATIENCE);
      t.equal((await harness.running(at, 'Fleet/crew')).length, 3);
      t.match(await get(at, 'crew.localhost'), { status: 200, body: '7' });
      const asking = load(at, 'crew.localhost');
      const second = commit(at, fleet('crew', 'hello:8'), 'crew: 8');
      const upgraded = await settled(at, 'Fleet/crew', 2, PATIENCE);
      t.equal(upgraded.rollout.stages.length, 3);
      const replaced = await harness.running(at, 'Fleet/crew');
      const third = commit(at, fleet('crew', 'hello:8', { script: 'one' }), 'crew: one');
      await settled(at, 'Fleet/crew', 3, PATIENCE);
      t.strictSame(
        (await harness.running(at, 'Fleet/crew')).sort(),
        replaced.sort(),
        'the same image: nothing was replaced',
      );
      t.strictSame(await told(world, 'Fleet/crew', ACTS), onEach('crew', 'ran one'));
      git(at.repo, 'revert', '--no-edit', third);
      git(at.repo, 'revert', '--no-edit', second);
      await statusOf(
        at,
        'Fleet/crew',
        'is back',
        ({ rollout, health }) => rollout?.phase === 'Succeeded' && health === 'Healthy' && rollout.id > 3,
        PATIENCE,
      );
      await until('the first image answers', async () => (await get(at, 'crew.localhost')).body === '7', PATIENCE);
      t.strictSame(await told(world, 'Fleet/crew', ACTS), [
        ...onEach('crew', 'ran one'),
        ...onEach('crew', 'undid one'),
      ]);
      const { sent, lost } = await asking.stop();
      t.strictSame(lost, [], `none of ${sent} requests was lost`);
      await end(world, 'Fleet', 'crew');
    },
  },
  {
    name: 'instance that fails',
    about:
      'an image that does not start goes no further than one instance, which a revert brings back, and so does onFailure: rollback',
    async run(world) {
      const { t, at } = world;
      const more = '  onFailure: rollback\n';
      commit(at, fleet('ill', 'hello:7', { more }), 'ill: 7');
      await settled(at, 'Fleet/ill', 1, PATIENCE);
      commit(at, fleet('ill', 'broken:8', { more }), 'ill: broken');
      const isBack = ({ rollout }: { rollout?: { id: number; phase: string } }) =>
        rollout?.id === 2 && rollout.phase === 'RolledBack';
      const now = await statusOf(at, 'Fleet/ill', 'is rolled back', isBack, PATIENCE);
      t.match(JSON.stringify(now), /no such module/);
      t.match(now.instances, { total: 3, inService: 3, runs: [{ count: 3 }] });
      t.match(await get(at, 'ill.localhost'), { status: 200, body: '7' });
      commit(at, fleet('ill', 'broken:8', { script: 'one' }), 'ill: broken again');
      const isPaused = ({ rollout }: { rollout?: { id: number; phase: string } }) =>
        rollout?.id === 3 && rollout.phase === 'Paused';
      await statusOf(at, 'Fleet/ill', 'is paused', isPaused, PATIENCE);
      commit(at, fleet('ill', 'hello:7'), 'ill: reverted');
      const back = await settled(at, 'Fleet/ill', 4, PATIENCE);
      t.match(back.instances, { total: 3, inService: 3, runs: [{ count: 3 }] });
      await end(world, 'Fleet', 'ill');
    },
  },
  {
    name: 'operator killed',
    about: 'an operator that is killed while scripts run is replaced by one that goes on, and runs none of them twice',
    async run(world) {
      const { t, at, harness } = world;
      commit(at, fleet('hit', 'hello:7'), 'hit: 7');
      await settled(at, 'Fleet/hit', 1, PATIENCE);
      commit(at, fleet('hit', 'hello:8', { script: 'two', wait: '1' }), 'hit: two');
      for (const unit of ['hit-1', 'hit-2']) {
        const ran = async () => (await told(world, 'Fleet/hit', ACTS)).includes(`ran two on ${unit}`);
        await until(`the script runs on ${unit}`, ran, PATIENCE);
        world.operator.process.kill('SIGKILL');
        await world.operator.exit;
        // The next one may be out already, to be replaced.
        t.ok((await harness.running(at, 'Fleet/hit')).length >= 2, 'what ran outlives the operator');
        world.operator = operator(at);
      }
      await settled(at, 'Fleet/hit', 2, PATIENCE);
      t.strictSame(await told(world, 'Fleet/hit', ACTS), onEach('hit', 'ran two'));
      t.match(await get(at, 'hit.localhost'), { status: 200, body: '8' });
      await end(world, 'Fleet', 'hit');
    },
  },
  {
    name: 'instance that dies',
    about: 'an instance that dies is put back, without a rollout',
    async run(world) {
      const { t, at, harness } = world;
      commit(at, fleet('mend', 'hello:7'), 'mend: 7');
      await settled(at, 'Fleet/mend', 1, PATIENCE);
      const [victim = ''] = await harness.running(at, 'Fleet/mend');
      await harness.kill(at, 'Fleet/mend', victim);
      const whole = async () => {
        const now = await harness.running(at, 'Fleet/mend');
        return now.length === 3 && !now.includes(victim);
      };
      await until('three again', whole, PATIENCE);
      const now = await statusOf(
        at,
        'Fleet/mend',
        'is repaired',
        ({ repairs, health }) => (repairs?.count ?? 0) > 0 && health === 'Healthy',
        PATIENCE,
      );
      t.equal(now.rollout.id, 1, 'no other rollout');
      await end(world, 'Fleet', 'mend');
    },
  },
  {
    name: 'cluster upgrade',
    about: 'a cluster goes to the next version, the control plane first, each node drained before',
    async run(world) {
      const { t, at, harness } = world;
      commit(at, cluster('prod', '1.1.0'), 'prod: 1.1');
      await settled(at, 'Cluster/prod', 1, PATIENCE);
      t.equal((await harness.running(at, 'Cluster/prod')).length, 3);
      commit(at, cluster('prod', '1.2.0'), 'prod: 1.2');
      const now = await settled(at, 'Cluster/prod', 2, PATIENCE);
      t.match(now.rollout.stages[0].name, /^control plane 1 of 1/);
      const nodes = ['prod-cp-1', 'prod-node-1', 'prod-node-2'];
      t.strictSame(
        await told(world, 'Cluster/prod', /\| (drained \S+)/g),
        nodes.map((node) => `drained ${node}`),
      );
      const upgrades = await told(world, 'Cluster/prod', /\| (upgraded \S+ to 1\.2\.0)/g);
      t.strictSame(
        upgrades,
        nodes.map((node) => `upgraded ${node} to 1.2.0`),
      );
      await end(world, 'Cluster', 'prod');
    },
  },
];

/** Those in which requests have the last word. */
export const ROUTED_BEHAVIOURS = INSTANCE_BEHAVIOURS.filter(({ name }) =>
  ['image, script, revert', 'instance that dies'].includes(name),
);
