import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { examples } from './cli.ts';

t.test('what the target cannot honour is told by validate at its place, and by plan', async (t) => {
  const place = await examples(t);
  const file = join(place.repo, 'tomcat.yaml');
  const text = readFileSync(file, 'utf8');
  const mounted = text.replace(
    '          ports:',
    '          volumeMounts: [{name: data, mountPath: /data, readOnly: true}]\n          ports:',
  );
  writeFileSync(file, `${mounted.trimEnd()}\n      volumes: [{name: data, disk: {size: 1Gi}}]\n`);
  const line = mounted.split('\n').findIndex((each) => each.includes('volumeMounts')) + 1;

  const valid = await place.sluice('validate');
  t.equal(valid.code, 0, 'a warning alone is no error');
  t.match(valid.stdout.trimEnd().split('\n'), [
    new RegExp(
      `^tomcat.yaml:${line}:\\d+ spec.template.spec.containers\\[0\\].volumeMounts\\[0\\].mountPath: warning: .*is ./data`,
    ),
    /volumeMounts\[0\]\.readOnly: warning: /,
    /spec\.template\.spec\.volumes\[0\]\.disk\.size: warning: /,
  ]);
  t.match(valid.stderr, '5 resources, 3 warnings');
  const github = await place.sluice('validate', '--format', 'github');
  t.match(github.stdout, new RegExp(`^::warning file=tomcat.yaml,line=${line},col=\\d+::spec`));

  await place.git('commit', '-qam', 'a disk');
  const planned = await place.sluice('plan', '--from', 'HEAD~1');
  t.equal(planned.code, 0);
  t.match(
    planned.stdout,
    /^ {2}note: spec\.template\.spec\.containers\[0\]\.volumeMounts\[0\]\.readOnly: .*read-only/m,
  );
});

t.test('what could not start is an error', async (t) => {
  const place = await examples(t);
  const file = join(place.repo, 'tomcat.yaml');
  const probe = 'livenessProbe: {tcpSocket: {port: nowhere}}';
  writeFileSync(file, readFileSync(file, 'utf8').replace('          ports:', `          ${probe}\n          ports:`));
  const { code, stdout } = await place.sluice('validate', 'tomcat.yaml');
  t.equal(code, 1);
  t.match(stdout, /^tomcat\.yaml:\d+:\d+ spec\.template\.spec\.containers\[0\]\.livenessProbe.*: .*nowhere/);
});

t.test('so is a glob that HAProxy cannot be told', async (t) => {
  const place = await examples(t);
  const target = 'apiVersion: sluice/v1\nkind: Target\nmetadata: {name: box}\nspec: {docker: {router: haproxy}}\n';
  const shop = `apiVersion: sluice/v1
kind: Service
metadata: {name: till}
spec:
  target: box
  traffic: {match: {default: stable, rules: [{version: latest, query: {beta: "1*", name: "[à-é]*"}}]}}
  template: {spec: {containers: [{name: main, image: "hello:8", ports: [{containerPort: 8080}]}]}}
`;
  writeFileSync(join(place.repo, 'till.yaml'), `${target}---\n${shop}`);
  const { code, stdout } = await place.sluice('validate', 'till.yaml');
  t.equal(code, 1);
  t.match(stdout, /^till\.yaml:11:90 spec\.traffic\.match\.rules\[0\]\.query\.name: .*haproxy: .*ASCII only/);
  t.notMatch(stdout, 'beta');
});

t.test('so is what hosts, or this machine, do not have for a fleet', async (t) => {
  const place = await examples(t);
  const hosts = 'apiVersion: sluice/v1\nkind: Target\nmetadata: {name: hosts}\nspec:\n  ssh:\n';
  writeFileSync(
    join(place.repo, 'hosts.yaml'),
    `${hosts}    user: deploy\n    hosts: [{name: web-1, address: 10.0.0.1, labels: {role: web}}]\n`,
  );
  const fleet = (name: string, spec: string) =>
    `apiVersion: sluice/v1\nkind: Fleet\nmetadata: {name: ${name}}\nspec:\n${spec}`;
  const remote =
    '  target: hosts\n  selector: {role: web}\n  host: web.example\n  suspended: [scaleIn]\n  script: {run: ./up}\n';
  const here = '  size: 1\n  script: {interpreter: bat, run: up}\n';
  const file = join(place.repo, 'web.yaml');
  writeFileSync(file, `${fleet('web', remote)}---\n${fleet('bat', here)}`);
  const { code, stdout, stderr } = await place.sluice('validate');
  t.equal(code, 0);
  t.match(stdout.trimEnd().split('\n').sort(), [
    /^web\.yaml:16:\d+ spec\.script\.interpreter: warning: .*cmd\.exe/,
    /^web\.yaml:7:9 spec\.host: warning: requests for web\.example are not sent to hosts.*; remove it/,
    /^web\.yaml:8:14 spec\.suspended: warning: /,
  ]);
  t.match(stderr, '7 resources, 3 warnings');
  await place.git('add', '.');
  await place.git('commit', '-qm', 'a fleet');
  t.match((await place.sluice('plan', '--from', 'HEAD~1')).stdout, /note: spec\.host: requests for web\.example/);
});

t.test('each field of a fleet or a cluster that comes to nothing on this machine is told at its place', async (t) => {
  const place = await examples(t);
  const document = (kind: string, name: string, spec: string) =>
    `apiVersion: sluice/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec:\n${spec}`;
  const manifests = [
    document('Target', 'held', '  local: {}\n  policy: {resources: container-instance}\n'),
    document(
      'Fleet',
      'bare',
      '  size: 1\n  host: bare.example\n  script: {run: ./up}\n  check: [{http: {path: /health}}]\n',
    ),
    document('Fleet', 'ported', '  size: 1\n  image: pictures:1\n  check: [{http: {path: /health, port: 80}}]\n'),
    document(
      'Fleet',
      'timed',
      '  size: 1\n  image: pictures:1\n  scaling:\n    schedules:\n      - {cron: "0 8 * * 1", size: 2}\n      - {cron: "0 8 1,8,16,24 * *", size: 2}\n      - {cron: "0 8 1,15 * *", size: 2}\n      - {cron: "0 8 1 6 *", size: 2}\n',
    ),
    document('Fleet', 'rules', '  size: 1\n  target: held\n  image: pictures:1\n'),
    document('Cluster', 'turning', '  version: 1.0.0\n  image: stock\n  onFailure: rollback\n'),
  ];
  writeFileSync(join(place.repo, 'more.yaml'), manifests.join('---\n'));
  const { code, stdout, stderr } = await place.sluice('validate', 'more.yaml', '--format', 'json');
  t.equal(code, 0, stderr);
  const told = (JSON.parse(stdout) as { resource: string; path: string; message: string }[]).map(
    ({ resource, path, message }) => `${resource} ${path}: ${message}`,
  );
  t.match(told.sort(), [
    /^Cluster\/turning spec\.onFailure: a cluster is never downgraded: .*waits for a person/,
    /^Fleet\/bare spec\.check\[0\]\.http: .*no port of their own/,
    /^Fleet\/bare spec\.host: .*serve nothing at bare\.example/,
    /^Fleet\/ported spec\.check\[0\]\.http\.port: port 80 is this machine's/,
    /^Fleet\/rules spec\.target: policy\.resources/,
    /^Fleet\/timed spec\.scaling\.schedules\[2\]\.cron: "0 8 1,15 \* \*" may come more than 8 days/,
    /^Fleet\/timed spec\.scaling\.schedules\[3\]\.cron: "0 8 1 6 \* ?/,
  ]);
  t.equal(told.length, 7);
  await place.git('add', '.');
  await place.git('commit', '-qm', 'more');
  const planned = (await place.sluice('plan', '--from', 'HEAD~1')).stdout;
  for (const path of [
    'spec.onFailure',
    'spec.check[0].http',
    'spec.host',
    'spec.target',
    'spec.scaling.schedules[2].cron',
  ])
    t.ok(planned.includes(`  note: ${path}: `), path);
});

t.test('so is what containers cannot be given as instances, and two HAProxys at one address', async (t) => {
  const place = await examples(t);
  const target = (name: string, docker: string) =>
    `apiVersion: sluice/v1\nkind: Target\nmetadata: {name: ${name}}\nspec: {docker: {${docker}}}\n`;
  const fleet = (name: string, on: string, more: string) =>
    `apiVersion: sluice/v1\nkind: Fleet\nmetadata: {name: ${name}}\nspec:\n  target: ${on}\n  size: 1\n  image: crew:8\n${more}`;
  const bat = '  script: {interpreter: bat, run: up}\n';
  const far = '  check: [{http: {path: /, port: 9000}}]\n';
  const docs = [
    target('one', 'router: haproxy'),
    target('two', 'router: haproxy, listen: "0.0.0.0:8081"'),
    target('three', 'router: haproxy, listen: "127.0.0.1:8082", address: 10.0.0.5'),
    fleet('left', 'one', bat),
    fleet('right', 'three', far),
  ];
  writeFileSync(join(place.repo, 'crew.yaml'), docs.join('---\n'));
  const { code, stdout } = await place.sluice('validate', 'crew.yaml');
  t.equal(code, 1);
  t.match(stdout.trimEnd().split('\n').sort(), [
    /^crew\.yaml:20:\d+ spec\.target: HAProxy of Target one listens at 127\.0\.0\.1:8081 and that of Target two at 0\.0\.0\.0:8081: only one/,
    /^crew\.yaml:23:\d+ spec\.script\.interpreter: .*no cmd\.exe/,
    /^crew\.yaml:32:\d+ spec\.check\[0\]\.http\.port: warning: port 9000 .*not published at 10\.0\.0\.5/,
  ]);
});
