import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { git as bareGit, bareRepository, serveHttp } from '../support/git-servers.ts';
import { clean, cli, git, image, logs, type Place, place, remoteOperator, until } from './support.ts';

/** Each is planted in one place, and may be in no other but those that need it. */
const PLANTED = {
  env: 'pl4nted-in-a-variable',
  envFrom: 'pl4nted-in-all-of-a-secret',
  volume: 'pl4nted-in-a-volume\nof-tw0-lines-pl4nted',
  git: 'pl4nted-in-the-address-or-the-token',
};
const lines = Object.values(PLANTED).flatMap((value) => value.split('\n'));

const web = (name: string, more: string) => `apiVersion: sluice/v1
kind: Workload
metadata: {name: ${name}}
spec:
  progressDeadlineSeconds: 3
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
/** Everything that a unit can say of itself, said with secrets in it. */
const says = 'console.error(process.env.PASSWORD, process.env.WHOLE, fs.readFileSync("certs/key", "utf8"))';
const MANIFESTS = {
  'good.yaml': web('good', ''),
  'dies.yaml': web('dies', `command: [node, -e, '${says}; process.exit(3)']`),
  'probe.yaml': web(
    'probe',
    `readinessProbe: {exec: {command: [node, -e, '${says}; process.exit(1)']}, periodSeconds: 1}`,
  ),
  'hook.yaml': web('hook', `lifecycle: {postStart: {exec: {command: [node, -e, '${says}; process.exit(1)']}}}`),
  'argument.yaml': web('argument', 'args: ["$(PASSWORD)"]'),
  'missing.yaml': web('missing', '').replace('key: password', 'key: passw0rd'),
  'bad.yaml': web('bad', 'nonsense: 1'),
};

const found = (text: string): string[] => lines.filter((line) => text.includes(line));

/** Files below a folder that hold a planted value. */
function inFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) => {
    if (!entry.isFile()) return [];
    const path = join(entry.parentPath, entry.name);
    return found(readFileSync(path, 'latin1')).map((line) => `${path}: ${line}`);
  });
}

/** Looks at the arguments of every process of this machine, for as long as it is not stopped. */
function watchArguments(except: number[]) {
  const seen = new Set<string>();
  const timer = setInterval(() => {
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid) || except.includes(Number(pid))) continue;
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        if (found(line).length > 0) seen.add(line);
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
  good: /health: Healthy/,
  dies: /reason: Failure[\s\S]*\*\*\*/,
  probe: /reason: Failure/,
  hook: /reason: Failure/,
  argument: /reason: Failure|phase: Failed/,
  missing: /phase: Failed/,
  bad: /health: Invalid/,
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

t.test('secrets are nowhere but where they are needed', async (t) => {
  const at = await place({ ...MANIFESTS, ...image('hello', '1') });
  t.teardown(() => clean(at));
  const bare = bareRepository(at.root);
  git(at.repo, 'push', '-q', bare, 'main');
  const secrets = await secretsOf(at);
  const [username, password] = ['ada', PLANTED.git];
  const http = await serveHttp(at.root, { auth: { username, password } });
  t.teardown(() => http.close());
  const plain = `${http.url}/repo.git`;
  const ways: [string, Record<string, string>][] = [
    [plain.replace('//', `//${username}:${password}@`), {}],
    [plain, { SLUICE_GIT_USERNAME: username, SLUICE_GIT_TOKEN: password }],
  ];
  for (const [address, env] of ways) {
    const running = remoteOperator(at, address, env, '--secrets-dir', secrets, '--log-level', 'debug');
    t.teardown(() => running.process.kill('SIGKILL'));
    const watched = watchArguments([running.process.pid ?? 0]);
    const show = (name: string) => {
      try {
        return bareGit(bare, ['show', `sluice/status:status/workload/${name}.yaml`]);
      } catch {
        return '';
      }
    };
    for (const [name, pattern] of Object.entries(HEALTHS))
      await until(`${name}: ${pattern}`, () => pattern.test(show(name)), 120).catch((error: Error) => {
        throw new Error(`${error.message}; ${show(name)}; the log ends: ${running.output().slice(-2000)}`);
      });

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
