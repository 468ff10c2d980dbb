import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { git as bareGit, bareRepository, serveHttp } from '../support/git-servers.ts';
import { until } from '../support/until.ts';
import { startEngine, whyNoEngine } from '../target/docker/engine.ts';
import { noSshd, startHosts } from '../target/ssh/hosts.ts';
import { marksOf, targetOf } from './hosts.ts';
import { clean, cli, git, image, logs, type Place, place, type Running, remoteOperator } from './support.ts';

/** Each is planted in one place, and may be in no other but those that need it. */
const PLANTED = {
  env: 'pl4nted-in-a-variable',
  envFrom: 'pl4nted-in-all-of-a-secret',
  volume: 'pl4nted-in-a-volume\nof-tw0-lines-pl4nted',
  git: 'pl4nted-in-the-address-or-the-token',
};
const lines = Object.values(PLANTED).flatMap((value) => value.split('\n'));

const web = (name: string, more: string, target = 'local') => `apiVersion: sluice/v1
kind: Workload
metadata: {name: ${name}}
spec:
  target: ${target}
  progressDeadlineSeconds: ${name === 'good' ? 60 : 3}
  template:
    spec:
      volumes: [{name: certs, secret: {secretName: certs}}]
      containers:
        - name: web
          image: hello:1
          ports: [{containerPort: 8080}]
          env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: web, key: password}}}]
          envFrom: [{secretRef: {name: all}}]
          volumeMounts: [{name: certs, mountPath: /certs}]
          ${more}
`;
/** By name: what a unit may do that says all it knows of itself, secrets too. */
function manifests(target: string, node: string, certs: string, knows: string): Record<string, string> {
  const says = `console.error(${knows}, fs.readFileSync("${certs}/key", "utf8"))`;
  const dying = (code: number) => `{exec: {command: [${node}, -e, '${says}; process.exit(${code})']}}`;
  const made = {
    good: '',
    dies: `command: [${node}, -e, '${says}; process.exit(3)']`,
    probe: `readinessProbe: ${dying(1).replace(/}$/, ', periodSeconds: 1}')}`,
    hook: `lifecycle: {postStart: ${dying(1)}}`,
    argument: 'args: ["$(PASSWORD)"]',
    missing: '',
    bad: 'nonsense: 1',
  };
  const texts = Object.entries(made).map(([name, more]) => [`${name}.yaml`, web(name, more, target)] as const);
  return Object.fromEntries(
    texts.map(([path, text]) => [
      path,
      path === 'missing.yaml' ? text.replace('key: password', 'key: passw0rd') : text,
    ]),
  );
}

const found = (text: string, of = lines): string[] => of.filter((line) => text.includes(line));

/** Files below a folder that hold a planted value. */
function inFiles(folder: string, of = lines): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) => {
    if (!entry.isFile()) return [];
    const path = join(entry.parentPath, entry.name);
    return found(readFileSync(path, 'latin1'), of).map((line) => `${path}: ${line}`);
  });
}

/** Looks at the arguments of every process of this machine, for as long as it is not stopped. */
function watchArguments(except: number[], of = lines) {
  const seen = new Set<string>();
  const timer = setInterval(() => {
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid) || except.includes(Number(pid))) continue;
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        if (found(line, of).length > 0) seen.add(line);
      } catch {}
    }
  }, 5);
  return {
    stop() {
      clearInterval(timer);
      return [...seen];
    },
  };
}

const HEALTHS: Record<string, RegExp> = {
  'workload/good': /health: Healthy/,
  'workload/dies': /reason: Failure[\s\S]*\*\*\*/,
  'workload/probe': /reason: Failure/,
  'workload/hook': /reason: Failure/,
  'workload/argument': /reason: Failure|phase: Failed/,
  'workload/missing': /phase: Failed/,
  'workload/bad': /health: Invalid/,
};

/** Every object of the status branch and of all that the operator pushed. */
function pushed(bare: string): string {
  return bareGit(bare, ['cat-file', '--batch-all-objects', '--batch', '--unordered']);
}

async function secretsOf(at: Place): Promise<string> {
  const folder = join(at.root, 'secrets');
  const all = { 'web/password': PLANTED.env, 'all/WHOLE': PLANTED.envFrom, 'certs/key': PLANTED.volume };
  for (const [path, value] of Object.entries(all)) {
    await mkdir(join(folder, path, '..'), { recursive: true });
    await writeFile(join(folder, path), value, { mode: 0o600 });
  }
  return folder;
}

/** The place's repository behind a server that asks for a token, which the operator has in its environment. */
async function withToken(t: Test, at: Place) {
  const bare = bareRepository(at.root);
  git(at.repo, 'push', '-q', bare, 'main');
  const auth = { username: 'ada', password: PLANTED.git };
  const http = await serveHttp(at.root, { auth });
  t.teardown(() => http.close());
  const env = { SLUICE_GIT_USERNAME: auth.username, SLUICE_GIT_TOKEN: auth.password };
  return { bare, http, plain: `${http.url}/repo.git`, auth, env };
}

/** Waits until the status of each says what it must. */
async function allTold(bare: string, running: Running, expected: Record<string, RegExp>): Promise<void> {
  const show = (file: string) => {
    try {
      return bareGit(bare, ['show', `sluice/status:status/${file}.yaml`]);
    } catch {
      return '';
    }
  };
  for (const [file, pattern] of Object.entries(expected))
    await until(`${file}: ${pattern}`, () => pattern.test(show(file)), 120).catch((error: Error) => {
      throw new Error(`${error.message}; ${show(file)}; the log ends: ${running.output().slice(-2000)}`);
    });
}

t.test('secrets are nowhere but where they are needed', async (t) => {
  const at = await place({
    ...manifests('local', 'node', 'certs', 'process.env.PASSWORD, process.env.WHOLE'),
    ...image('hello', '1'),
  });
  t.teardown(() => clean(at));
  const secrets = await secretsOf(at);
  const { bare, http, plain, auth, env: token } = await withToken(t, at);
  const ways: [string, Record<string, string>][] = [
    [plain.replace('//', `//${auth.username}:${auth.password}@`), {}],
    [plain, token],
  ];
  for (const [address, env] of ways) {
    const running = remoteOperator(at, address, env, '--secrets-dir', secrets, '--log-level', 'debug');
    t.teardown(() => running.process.kill('SIGKILL'));
    const watched = watchArguments([running.process.pid ?? 0]);
    await allTold(bare, running, HEALTHS);

    const said: string[] = [];
    for (const args of [['status'], ['status', 'Workload/dies'], ['check', 'Workload/missing']]) {
      const command = cli([...args, '--repo', address, '--state-dir', at.state], at.root, env);
      await command.exit;
      said.push(command.output());
    }
    const refused = cli(
      ['status', '--repo', address.replace('repo.git', 'none.git'), '--state-dir', at.state],
      at.root,
      env,
    );
    t.not(await refused.exit, 0);
    said.push(refused.output());
    http.fail({ kind: 'status', status: 401 });
    await logs(running, /access refused/);
    http.fail(undefined);
    running.process.kill();
    await running.exit;
    t.same(found(running.output()), [], 'the log');
    t.same(found(said.join('\n')), [], 'what commands say');
    t.same(found(pushed(bare)), [], 'what was pushed');
    t.same(inFiles(at.state), [], 'the state folder');
    t.same(
      watched.stop().filter((line) => !line.includes('main.js')),
      [],
      'arguments',
    );
  }
  const kept = inFiles(at.data).filter((line) => !/\/(logs|run\/volumes)\//.test(line));
  t.same(kept, [], 'the data folder, but for what units print and their own volumes');
});

t.test(
  'nor are they on Docker, but in the engine and the memory of its containers',
  { skip: whyNoEngine() ?? false },
  async (t) => {
    const engine = await startEngine();
    t.teardown(() => engine.end());
    await engine.image(
      'hello:1',
      `require('node:http').createServer((_, response) => response.end('1')).listen(process.env.PORT)`,
    );
    const target = `apiVersion: sluice/v1\nkind: Target\nmetadata: {name: containers}\nspec: {docker: {host: "${engine.host}"}}\n`;
    const at = await place({
      ...manifests('containers', '/node', '/certs', 'JSON.stringify(process.env)'),
      'target.yaml': target,
    });
    t.teardown(() => clean(at));
    const { bare, plain, env } = await withToken(t, at);
    const running = remoteOperator(at, plain, env, '--secrets-dir', await secretsOf(at), '--log-level', 'debug');
    t.teardown(() => running.process.kill('SIGKILL'));
    const watched = watchArguments([]);
    await allTold(bare, running, HEALTHS);
    running.process.kill();
    await running.exit;
    t.same(found(running.output()), [], 'the log');
    t.same(found(pushed(bare)), [], 'what was pushed');
    const said = inFiles(at.data).filter((line) => line.includes('/logs/'));
    t.ok(said.length > 0, 'containers say all that they know');
    t.same(found(said.join('\n'), [PLANTED.git]), [], 'and know nothing of the operator');
    t.same([...inFiles(at.state), ...inFiles(at.data).filter((line) => !said.includes(line))], [], 'its files');
    t.same(watched.stop(), [], 'arguments');
  },
);

t.test('nor is the key to hosts, and scripts there know nothing of the operator', { skip: noSshd }, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1', 'web-2'], labels: () => ({ role: 'web' }) });
  // What comes before is the same in every key, or public.
  const key = readFileSync(join(hosts.root, 'user'), 'utf8').split('\n').slice(3, -2);
  t.ok(key.length > 1);
  const fleet = `apiVersion: sluice/v1
kind: Fleet
metadata: {name: web}
spec: {target: hosts, selector: {role: web}, script: {run: "env | tee -a knows; env >&2; exit 3"}}
`;
  const at = await place({ 'hosts.yaml': targetOf(hosts), 'web.yaml': fleet });
  t.teardown(() => clean(at));
  const { bare, plain, env } = await withToken(t, at);
  const planted = [...lines, ...key];
  const running = remoteOperator(at, plain, env, '--secrets-dir', await secretsOf(at), '--log-level', 'debug');
  t.teardown(() => running.process.kill('SIGKILL'));
  const watched = watchArguments([], planted);
  await allTold(bare, running, { 'fleet/web': /reason: Failure/ });
  running.process.kill();
  await running.exit;
  t.ok(
    marksOf(hosts, 'knows').some((line) => line.startsWith('SLUICE_INSTANCE=')),
    'scripts said all that they know',
  );
  for (const { home } of hosts.hosts) t.same(inFiles(home, planted), [], 'the hosts');
  t.same(found(running.output(), planted), [], 'the log');
  t.same(found(pushed(bare), planted), [], 'what was pushed');
  t.same([...inFiles(at.state, planted), ...inFiles(at.data, planted)], [], 'files of the operator');
  t.same(watched.stop(), [], 'arguments');
});
