/** The operator as a whole, in simulated time. */
import t from 'tap';
import { MAIN } from '../simulation/git.ts';
import type { History } from '../simulation/history.ts';
import { createWorld } from '../simulation/world.ts';

const MINUTE = 60_000;
const history: History = {
  ...{ seed: 1, kinds: ['Workload'], pushInterval: 0, poll: MINUTE, acceptRewrite: false, heartbeat: false },
  events: [],
};

t.test('a commit that cannot be read is tried again until it can, though no other follows', async (t) => {
  const said: string[] = [];
  const world = createWorld(history, [{ log: (_, message) => void said.push(message) }]);
  const { timeline, remote, config, operators, published } = world;
  operators.start();
  await timeline.run(timeline.now() + MINUTE);
  t.equal(published.get('Workload/r0')?.health, 'Healthy');
  const before = new Set(remote.objects.keys());
  config.set(0, { number: 1 });
  const made = [...remote.objects].filter(([oid, { type }]) => type === 'blob' && !before.has(oid));
  for (const [oid] of made) remote.objects.delete(oid);
  await timeline.run(timeline.now() + 3 * MINUTE);
  t.match(said.at(-1), /^commit [0-9a-f]{10} could not be taken up: /);
  t.equal(published.get('Workload/r0')?.rollout?.id, 1);
  for (const [oid, object] of made) remote.objects.set(oid, object);
  await timeline.run(timeline.now() + 3 * MINUTE);
  t.match(published.get('Workload/r0'), { health: 'Healthy', commit: remote.refs.get(MAIN), rollout: { id: 2 } });
  for (const process of operators.alive()) process.killAt(0, true);
});
