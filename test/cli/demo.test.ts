/** What `npm start` does, followed word for word. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { clean, cli, get, type Place, type Running, settled, status } from '../e2e/support.ts';
import { until } from '../support/until.ts';

t.test('npm start: the shop comes up, what is said to try works, and the next start finds it', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'sluice-demo-'));
  const at: Place = {
    root,
    repo: join(root, 'demo-config'),
    state: '',
    data: '',
    port: 0,
    over: new AbortController(),
  };
  const home = { HOME: root, GIT_CONFIG_NOSYSTEM: '1' };
  for (const name of ['SLUICE_STATE_DIR', 'SLUICE_DATA_DIR', 'XDG_STATE_HOME', 'XDG_DATA_HOME', 'XDG_CONFIG_HOME'])
    delete process.env[name];
  const begin = (): Running => cli(['demo'], root, home);
  const up = (running: Running) =>
    until('the shop is up', () => /^Up:\n\n([\s\S]*)\n\nTo try it[\s\S]*Ctrl-C/m.exec(running.output())?.[1]).catch(
      (error: Error) => {
        throw new Error(`${error.message}\n${running.output()}`);
      },
    );
  const end = async (running: Running) => {
    running.process.kill('SIGINT');
    return running.exit;
  };
  // The usual port is taken, by this test or by whatever else runs here.
  const taken = createServer().on('error', () => {});
  taken.listen(8080, '127.0.0.1');
  t.teardown(() => taken.close());

  let running = begin();
  t.teardown(() => clean(at, running));
  const rows = await up(running);
  t.match(running.output(), /^Made the config repository .*\/demo-config\n\n\d\d:\d\d:\d\d /);
  t.match(
    rows,
    new RegExp(
      [
        '^ {2}Cluster/stock +Healthy +7 of 7 nodes ready, .*run 1\\.0\\.0.*',
        ' {2}Fleet/pictures +Healthy +http://pictures\\.localhost:\\d+',
        ' {2}Service/search +Healthy +http://search\\.localhost:\\d+',
        ' {2}Service/shop .*',
        ' {2}Workload/tomcat ',
      ].join('\\n'),
    ),
  );
  at.port = Number(/:(\d+)$/m.exec(rows)?.[1]);
  t.match((await get(at, 'tomcat.localhost')).body, /^tomcat 7/);

  const shell = (said: RegExp, before = '', after = ''): string => {
    const [line = 'false'] = said.exec(running.output()) ?? [];
    return execFileSync('bash', ['-ec', [`cd ${at.repo}`, before, line, after].join('\n')], {
      env: { PATH: process.env.PATH, ...home },
      encoding: 'utf8',
    });
  };
  shell(/^ {2}sed -i .* && git commit -am .*$/m);
  await settled(at, 'Workload/tomcat', 2);
  t.match((await get(at, 'tomcat.localhost')).body, /^tomcat 8/);
  shell(/^ {2}git revert .*$/m);
  await settled(at, 'Workload/tomcat', 3);
  t.match((await get(at, 'tomcat.localhost')).body, /^tomcat 7/);
  const alias = shell(/^ {2}alias .*$/m, 'shopt -s expand_aliases', 'sluice status Workload/tomcat');
  t.match(alias, /^Workload\/tomcat {2}Healthy[\s\S]*^requests {2}3, 0 errors, /m);
  t.equal(await end(running), 0);
  t.match((await get(at, 'tomcat.localhost')).body, /^tomcat 7/, 'what runs goes on running');

  running = begin();
  t.match(await up(running), `http://tomcat.localhost:${at.port}`, 'the router serves where it did');
  t.match(running.output(), /^The config repository .* is used as it is\n/);
  t.equal(status(at, 'Workload/tomcat').rollout.id, 3);
  t.equal(await end(running), 0);

  rmSync(at.repo, { recursive: true });
  running = begin();
  t.match(await up(running), /Workload\/tomcat +Healthy/, 'a repository made anew in the same place is taken up');
  t.equal(await end(running), 0);
});
