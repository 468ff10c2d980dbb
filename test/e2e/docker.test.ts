/** A workload on a Docker Engine, from outside: what a person types, and what is answered. */
import t from 'tap';
import { startEngine, whyNoEngine } from '../target/docker/engine.ts';
import { clean, commit, get, operator, place, settled, sluice, status } from './support.ts';

const missing = whyNoEngine();
if (missing !== undefined) throw new Error(missing);

const workload = (more = '') => `apiVersion: sluice/v1
kind: Workload
metadata: {name: web}
spec:
  target: containers
  replicas: 2
  template:
    spec:
      containers:
        - name: web
          image: "hello:7"
          ports: [{containerPort: 8080}]
${more}`;
const FLEET = `apiVersion: sluice/v1
kind: Fleet
metadata: {name: crew}
spec: {target: containers, size: 2, script: {run: "echo crew ran"}}
`;
const CREW = FLEET.replace('size: 2,', 'size: 2, image: "hello:7",');

t.test('a workload on containers: validate, plan, check, logs', async (t) => {
  const engine = await startEngine();
  t.teardown(() => engine.end());
  const server = `
console.log('hello from', process.env.SLUICE_UNIT);
require('node:http').createServer((_, response) => response.end('7')).listen(process.env.PORT);
process.on('SIGTERM', () => process.exit());`;
  await engine.image('hello:7', server);
  const target = `apiVersion: sluice/v1\nkind: Target\nmetadata: {name: containers}\nspec: {docker: {host: "${engine.host}"}}\n`;
  const at = await place({ 'target.yaml': target, 'web.yaml': workload() });
  const running = operator(at);
  t.teardown(() => clean(at, running));
  await settled(at, 'Workload/web', 1);
  t.match(await get(at, 'web.localhost'), { status: 200, body: '7' });
  t.match(status(at, 'Workload/web').rollout.prechecks, [{ name: 'references' }, { name: 'engine', result: 'pass' }]);

  const folders = ['--data-dir', at.data];
  const check = await sluice(at, 'check', 'Workload/web', ...folders);
  t.equal(check.code, 0, check.output);
  t.match(check.output, /engine\s+Docker \S+ answers at unix:/);
  const logs = await sluice(at, 'logs', 'Workload/web', 'web-2', ...folders);
  t.match(logs.output, /web-2 web \| .*hello from web-2/, logs.output);
  t.notMatch(logs.output, /web-1/);

  const told =
    '          volumeMounts: [{name: d, mountPath: /d, subPath: a}]\n      volumes: [{name: d, disk: {size: 1Gi}}]\n';
  commit(at, { 'web.yaml': workload(told), 'crew.yaml': FLEET }, 'what cannot be');
  const invalid = await sluice(at, 'validate');
  t.equal(invalid.code, 1);
  t.match(invalid.output, /web\.yaml:13:\d+ .*subPath: docker: only a whole volume can be mounted, not a of volume d/);
  t.match(invalid.output, /web\.yaml:14:\d+ .*nothing keeps within 1Gi/);
  t.match(
    invalid.output,
    /crew\.yaml:\d+:\d+ spec\.image: missing; on Target "containers", a Docker engine, .*add image/,
  );
  const plan = await sluice(at, 'plan', '--from', 'HEAD~1');
  t.match(plan.output, /its precheck will fail: spec\.template\.spec\.containers\[0\]\.volumeMounts\[0\]\.subPath/);

  commit(at, { 'web.yaml': workload(), 'crew.yaml': CREW }, 'what can');
  await settled(at, 'Fleet/crew', 1);
  t.match(await get(at, 'crew.localhost'), { status: 200, body: '7' });
  const crew = await sluice(at, 'check', 'Fleet/crew', ...folders);
  t.equal(crew.code, 0, crew.output);
  t.match(crew.output, /engine\s+Docker \S+ answers at unix:[\s\S]*images\s+1 found/);
  const said = await sluice(at, 'logs', 'Fleet/crew', 'crew-2', ...folders);
  t.match(said.output, /crew-2 main \| .*hello from crew-2[\s\S]*crew-2 scripts \| crew ran/, said.output);
});
