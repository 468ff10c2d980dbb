import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { resolveAddress } from '../../src/git/clone.ts';
import { clean, cli, image, logged, logs, place, settled, sluice, statusOf, workload } from './support.ts';

const DOCKER = `apiVersion: sluice/v1
kind: Target
metadata: {name: engine}
spec: {docker: {host: "unix:///nonexistent/docker.sock"}}
`;

t.test(
  'what an operator was doing when it crashed is in a report without secrets, which the next one names',
  async (t) => {
    const at = await place({ 'a.yaml': workload('a', 'hello:1', 1), ...image('hello', '1') });
    t.teardown(() => clean(at));
    const secrets = join(at.root, 'secrets');
    const bug = join(at.root, 'bug.mjs');
    const now = join(at.root, 'now');
    writeFileSync(
      bug,
      `import { existsSync } from 'node:fs';
    if (process.argv.includes('run')) setInterval(() => {
      if (existsSync(${JSON.stringify(now)})) throw new TypeError('the planted bug: hunter2-token, https://ada:pw@git.example.com');
    }, 20).unref();`,
    );
    const run = (...more: string[]) =>
      cli(
        [
          ...['run', '--repo', at.repo, '--state-dir', at.state, '--data-dir', at.data, '--secrets-dir', secrets],
          ...['--router', `127.0.0.1:${at.port}`, ...more],
        ],
        at.repo,
        { NODE_OPTIONS: `--import=${pathToFileURL(bug)}`, SLUICE_GIT_TOKEN: 'hunter2-token' },
      );
    const running = run('--log-level', 'debug');
    await settled(at, 'Workload/a', 1);
    await logs(running, /^debug Workload\/a: rollout 1 Progressing: .*: start a-1$/);
    await logs(running, /^debug Workload\/a: settled and observed$/);
    writeFileSync(now, '');
    t.equal(await running.exit, 1);
    const folder = join(at.state, (await resolveAddress(at.repo)).key);
    const path = join(folder, 'crash.json');
    t.match(
      running.output(),
      `error: the operator ended by an error of its own: the planted bug: ***, https://git.example.com; what it was doing stands in ${path}; it goes on where it was`,
    );
    t.equal(statSync(path).mode & 0o777, 0o600);
    const text = readFileSync(path, 'utf8');
    t.match(JSON.parse(text), {
      sluice: /^\d+\.\d+\.\d+$/,
      node: process.version,
      error: { name: 'TypeError', stack: /bug\.mjs/ },
      doing: { message: /^Workload\/a: /, data: { resource: 'Workload/a' } },
    });
    t.ok(JSON.parse(text).log.some(({ message }: { message: string }) => /: start a-1$/.test(message)));
    t.notMatch(text, /hunter2|ada:pw/);

    const stopped = await sluice(at, 'status');
    t.match(
      stopped.output,
      `Stopped  no operator runs: the last one, process ${running.process.pid} on this machine, has ended`,
    );
    t.equal(stopped.code, 0);

    writeFileSync(bug, '');
    const next = run('--once');
    t.equal(await next.exit, 0);
    const named = logged(next).find((line) => /the operator before ended/.test(line)) ?? '';
    t.match(
      named,
      /^warn the operator before ended at \S+ by an error of its own: the planted bug: .*, when it had decided Workload\/a: .*; its report: \S+crash-\d+T\d+Z\.json$/,
    );
    t.equal(readdirSync(folder).filter((name) => name.startsWith('crash-')).length, 1);
    const third = run('--once');
    await third.exit;
    t.notMatch(third.output(), /the operator before ended/);
  },
);

t.test('a target that cannot be opened is named where the resource waits for it', async (t) => {
  const at = await place({ 'engine.yaml': DOCKER, 'a.yaml': workload('a', 'hello:1', 1, '  target: engine\n') });
  t.teardown(() => clean(at));
  const running = cli(
    [
      ...['run', '--repo', at.repo, '--state-dir', at.state, '--data-dir', at.data],
      ...['--router', `127.0.0.1:${at.port}`],
    ],
    at.repo,
  );
  t.teardown(() => running.process.kill());
  await statusOf(at, 'Workload/a', 'says what it waits for', ({ message }) =>
    /target engine cannot be opened: the Docker engine at unix:/.test(message),
  );
});
