/** A Docker Engine of the test's own, with images made from what is on this machine: no registry is asked. */
import { execFileSync, spawn } from 'node:child_process';
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
  /** Makes an image with node in it that runs `server`. */
  image(name: string, server: string, env?: Record<string, string>): Promise<void>;
  /** Makes an image with busybox in it, whose programs are at `/bin`. */
  tools(name: string, dockerfile?: string): Promise<void>;
  /** Ends the daemon, `-9` or in order, and starts it again: what ran in it has ended. */
  restart(signal?: NodeJS.Signals): Promise<void>;
  end(): Promise<void>;
}

const DOCKERD = '/usr/sbin/dockerd';

export async function startEngine(more: string[] = []): Promise<TestEngine> {
  const root = mkdtempSync(join(tmpdir(), 'sluice-docker-'));
  const socket = join(root, 'docker.sock');
  const docker = new Docker({ socketPath: socket });
  let daemon = await launched(root, socket, docker, more);
  let base: Promise<void> | undefined;
  return {
    docker,
    host: `unix://${socket}`,
    root,
    async image(name, server, env = {}) {
      base ??= nodeImage(root, docker);
      await base;
      const lines = Object.entries(env).map(([key, value]) => `ENV ${key}=${value}\n`);
      const dockerfile = `FROM node-base:1\nCOPY server.js /app/server.js\nWORKDIR /app\n${lines.join('')}ENTRYPOINT ["/node"]\nCMD ["server.js"]\n`;
      await build(root, docker, name, { 'server.js': server, Dockerfile: dockerfile });
    },
    async tools(name, dockerfile = '') {
      const folder = mkdtempSync(join(root, 'busybox-'));
      copyFileSync('/bin/busybox', join(folder, 'busybox'));
      const install = 'RUN ["/bin/busybox", "--install", "-s", "/bin"]\n';
      await build(
        root,
        docker,
        name,
        {
          Dockerfile: `FROM scratch\nCOPY busybox /bin/busybox\n${install}ENV PATH=/bin\n${dockerfile}`,
        },
        folder,
      );
    },
    async restart(signal = 'SIGTERM') {
      const ended = once(daemon, 'exit');
      daemon.kill(signal);
      await ended;
      rmSync(join(root, 'docker.pid'), { force: true });
      daemon = await launched(root, socket, docker, more);
    },
    async end() {
      for (const { Id } of await docker.listContainers({ all: true }))
        await docker
          .getContainer(Id)
          .remove({ force: true, v: true })
          .catch(() => {});
      const ended = once(daemon, 'exit');
      daemon.kill('SIGTERM');
      await ended;
      rmSync(root, { recursive: true, force: true, maxRetries: 5 });
    },
  };
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

/** node, with the libraries that it loads. */
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
  for (const library of libraries) put(library, library);
  const tops = [...new Set(['node', 'bin', ...libraries.map((path) => path.split('/')[1] ?? '')])];
  const copies = tops.map((name) => `COPY ${name} /${name}\n`).join('');
  const links = 'RUN ["/bin/busybox", "--install", "-s", "/bin"]\n';
  await build(root, docker, 'node-base:1', { Dockerfile: `FROM scratch\n${copies}${links}ENV PATH=/bin:/\n` }, folder);
}

async function build(
  root: string,
  docker: Docker,
  name: string,
  files: Record<string, string>,
  folder = mkdtempSync(join(root, 'image-')),
) {
  for (const [path, text] of Object.entries(files)) writeFileSync(join(folder, path), text);
  const archive = join(root, `${basename(folder)}.tar`);
  execFileSync('tar', ['-cf', archive, '-C', folder, '.']);
  const stream = await docker.buildImage(archive, { t: name, forcerm: true });
  await new Promise<void>((resolve, reject) => {
    docker.modem.followProgress(stream, (error: Error | null, output: { error?: string }[]) => {
      const failed = output?.find((line) => line.error !== undefined)?.error;
      if (error !== null || failed !== undefined) reject(new Error(`image ${name}: ${failed ?? error?.message}`));
      else resolve();
    });
  });
  rmSync(archive);
  rmSync(folder, { recursive: true });
}

/** Why there is no engine to be tested against; undefined where there is one. */
export function whyNoEngine(): string | undefined {
  if (!existsSync(DOCKERD)) return `there is no ${DOCKERD}: apt-get install docker.io`;
  if (process.getuid?.() !== 0) return 'dockerd needs root';
  return undefined;
}
