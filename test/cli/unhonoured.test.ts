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
  t.match(valid.stderr, '3 resources, 3 warnings');
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
  t.match(stderr, '5 resources, 3 warnings');
  await place.git('add', '.');
  await place.git('commit', '-qm', 'a fleet');
  t.match((await place.sluice('plan', '--from', 'HEAD~1')).stdout, /note: spec\.host: requests for web\.example/);
});
