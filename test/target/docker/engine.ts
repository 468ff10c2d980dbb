/** A Docker Engine of the test's own, with images made from what is on this machine: no registry is asked. */
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Docker from 'dockerode';

export interface TestEngine {
  docker: Docker;
  /** `unix://…`, as a target names it. */
  host: string;
  root: string;
  /** Makes an image with node and busybox in it that runs `server`. */
  image(name: string, server: string, env?: Record<string, string>): Promise<void>;
  /** Ends the daemon, `-9` or in order, and starts it again: what ran in it has ended. */
  restart(signal?: NodeJS.Signals): Promise<void>;
  end(): Promise<void>;
}

const DOCKERD = '/usr/sbin/dockerd';

/** Engines may run beside each other: each has a network of its own, and touches no table of the machine's. */
export async function startEngine(more: string[] = []): Promise<TestEngine> {
  const root = mkdtempSync(join(tmpdir(), 'sluice-docker-'));
  const bridge = makeBridge();
  const flags = ['--bridge', bridge, '--iptables=false', ...more];
  const socket = join(root, 'docker.sock');
  const docker = new Docker({ socketPath: socket });
  let daemon = await launched(root, socket, docker, flags);
  let base: Promise<void> | undefined;
  return {
    docker,
    host: `unix://${socket}`,
    root,
    async image(name, server, env = {}) {
      base ??= nodeImage(root, docker);
      await base;
      const container = await docker.createContainer({ Image: 'node-base:1', Cmd: ['/node'] });
      const folder = mkdtempSync(join(root, 'server-'));
      mkdirSync(join(folder, 'app'));
      writeFileSync(join(folder, 'app/server.js'), server);
      await container.putArchive(packed(root, folder), { path: '/' });
      const variables = Object.entries(env).map(([key, value]) => `ENV ${key}=${value}`);
      const [repo, tag] = splitName(name);
      const changes = ['WORKDIR /app', ...variables, 'ENTRYPOINT ["/node"]', 'CMD ["server.js"]'];
      await container.commit({ repo, tag, changes });
      await container.remove();
    },
    async restart(signal = 'SIGTERM') {
      const ended = once(daemon, 'exit');
      daemon.kill(signal);
      await ended;
      rmSync(join(root, 'docker.pid'), { force: true });
      daemon = await launched(root, socket, docker, flags);
    },
    async end() {
      for (const { Id } of await docker.listContainers({ all: true }))
        await docker
          .getContainer(Id)
          .remove({ force: true, v: true })
          .catch(() => {});
      for (const { Id, Labels } of await docker.listNetworks())
        if (Labels?.['sluice/project'] !== undefined) await docker.getNetwork(Id).remove();
      const ended = once(daemon, 'exit');
      daemon.kill('SIGTERM');
      await ended;
      rmSync(root, { recursive: true, force: true, maxRetries: 5 });
      execFileSync('ip', ['link', 'delete', bridge]);
    },
  };
}

function makeBridge(): string {
  const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' });
  const name = `sluice${process.pid}`;
  // A bridge without an address of its own takes that of a container, and another when that one ends: answers on their way were lost.
  const address = `02${randomBytes(5).toString('hex')}`.replace(/..(?=.)/g, '$&:');
  ip('link', 'add', 'name', name, 'address', address, 'type', 'bridge');
  const taken = ip('-4', '-o', 'address');
  const free = Array.from({ length: 200 }, (_, index) => `10.213.${(process.pid + index) % 250}`);
  const net = free.find((prefix) => !taken.includes(`${prefix}.`)) ?? '10.213.251';
  ip('address', 'add', `${net}.1/24`, 'dev', name);
  ip('link', 'set', name, 'up');
  return name;
}

async function launched(root: string, socket: string, docker: Docker, more: string[]) {
  const at = (name: string) => join(root, name);
  const args = [
    '-H',
    `unix://${socket}`,
    '--data-root',
    at('data'),
    '--exec-root',
    at('exec'),
    '--pidfile',
    at('docker.pid'),
  ];
  const log = at('dockerd.log');
  const daemon = spawn('sh', ['-c', `exec "$0" "$@" >>${log} 2>&1`, DOCKERD, ...args, ...more], { stdio: 'ignore' });
  const deadline = Date.now() + 60_000;
  for (;;) {
    const answers = await docker.ping().then(
      () => true,
      () => false,
    );
    if (answers) return daemon;
    if (daemon.exitCode !== null || Date.now() > deadline)
      throw new Error(`dockerd does not answer; its log:\n${readFileSync(log, 'utf8').slice(-2000)}`);
    await sleep(50);
  }
}

/** node, with the libraries that it loads, and the programs of busybox. */
async function nodeImage(root: string, docker: Docker): Promise<void> {
  const folder = mkdtempSync(join(root, 'node-'));
  const program = realpathSync(process.execPath);
  const libraries = execFileSync('ldd', [program])
    .toString()
    .split('\n')
    .flatMap((line) => /(\/\S+) \(0x/.exec(line)?.[1] ?? []);
  const put = (from: string, to: string) => {
    mkdirSync(dirname(join(folder, to)), { recursive: true });
    copyFileSync(realpathSync(from), join(folder, to));
    chmodSync(join(folder, to), 0o755);
  };
  put(program, 'node');
  put('/bin/busybox', 'bin/busybox');
  // Debian's busybox has none.
  put('/usr/bin/flock', 'bin/flock');
  for (const tool of TOOLS) symlinkSync('busybox', join(folder, 'bin', tool));
  for (const library of libraries) put(library, library);
  mkdirSync(join(folder, 'tmp'), { mode: 0o1777 });
  const stream = await docker.importImage(packed(root, folder), {
    repo: 'node-base',
    tag: '1',
    changes: 'ENV PATH=/bin:/',
  });
  await new Promise((resolve, reject) => {
    docker.modem.followProgress(stream, (error: Error | null) => (error === null ? resolve(undefined) : reject(error)));
  });
}

/** Of them those that scripts of instances are run by, too. */
const TOOLS =
  'sh cat sleep test true false echo wget touch ls id chmod chown cp cut date df env grep head kill ln mkdir mkfifo mktemp mv ps rm sed setsid sync tail timeout tr'.split(
    ' ',
  );

/** A tar of the folder, which is removed. */
function packed(root: string, folder: string): string {
  const archive = join(root, `${basename(folder)}.tar`);
  execFileSync('tar', ['--owner=0', '--group=0', '-cf', archive, '-C', folder, '.']);
  rmSync(folder, { recursive: true });
  return archive;
}

function splitName(name: string): [string, string] {
  const colon = name.lastIndexOf(':');
  return [name.slice(0, colon), name.slice(colon + 1)];
}

/** Why there is no engine to be tested against; undefined where there is one. */
export function whyNoEngine(): string | undefined {
  if (!existsSync(DOCKERD)) return `there is no ${DOCKERD}: apt-get install docker.io`;
  if (process.getuid?.() !== 0) return 'dockerd needs root';
  return undefined;
}
