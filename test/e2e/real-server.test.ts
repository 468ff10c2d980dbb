/** A server that nobody here wrote, Debian's nginx, upgraded and reverted under load: with its own workers, signals and keep-alive. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import t, { type Test } from 'tap';
import { Pool } from 'undici';
import {
  clean,
  commit,
  git,
  operator,
  type Place,
  place,
  type Running,
  service,
  settled,
  workload,
} from './support.ts';

const NGINX = ['/usr/sbin/nginx', '/usr/bin/nginx', '/usr/local/sbin/nginx'].find((path) => existsSync(path));
const skip = NGINX === undefined ? 'nginx is not installed (apt-get install nginx-light)' : false;

/** nginx in the foreground as the unit's own process; its configuration takes no variables, so the port is written into it. */
function nginx(version: string, bytes: number): Record<string, string> {
  const folder = `images/nginx/${version}`;
  return {
    [`${folder}/image.yaml`]: `command: [sh, start.sh]\n`,
    [`${folder}/start.sh`]: `sed "s/@PORT@/$PORT/" nginx.conf.in > nginx.conf && exec ${NGINX} -p "$PWD" -c nginx.conf -g 'daemon off;'\n`,
    [`${folder}/nginx.conf.in`]: `
user ${userInfo().username};
worker_processes 2;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {
    listen 127.0.0.1:@PORT@;
    root www-${version};
    add_header x-version ${version};
  }
}
`,
    [`${folder}/www-${version}/index.html`]: `${version}\n`.repeat(bytes / (version.length + 1)),
  };
}

const FILES = { ...nginx('1.0', 40_000), ...nginx('1.1', 80_000) };
const SIZES: Record<string, number> = { '1.0': 40_000, '1.1': 80_000 };

/** Many requests over kept connections; an answer counts only when it is whole, and of one version. */
function pressure(at: Place, host: string) {
  const pool = new Pool(`http://127.0.0.1:${at.port}`, { connections: 8 });
  const lost: string[] = [];
  const seen = new Map<string, number>();
  let going = true;
  const worker = async () => {
    while (going && !at.over.signal.aborted) {
      try {
        const { statusCode, headers, body } = await pool.request({ path: '/', method: 'GET', headers: { host } });
        const version = String(headers['x-version']);
        const text = await body.text();
        if (statusCode === 200 && text.length === SIZES[version]) seen.set(version, (seen.get(version) ?? 0) + 1);
        else lost.push(`${statusCode} ${version} ${text.length}`);
      } catch (error) {
        lost.push((error as Error).message);
      }
    }
  };
  const workers = Array.from({ length: 8 }, worker);
  return {
    seen,
    async stop() {
      going = false;
      await Promise.all(workers);
      await pool.close();
      return lost;
    },
  };
}

/** It overwrites its environment, but what it is called names the folder that it runs in. */
function isNginx(at: Place, resource: string): boolean {
  return readdirSync('/proc').some((name) => {
    if (!/^\d+$/.test(name)) return false;
    const line = commandLine(name);
    return (
      line.startsWith('nginx: master process') && line.includes(at.data) && line.includes(resource.replace('/', '-'))
    );
  });
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

async function thereAndBack(
  t: Test,
  at: Place,
  running: Running,
  resource: string,
  upgraded: Record<string, string>,
): Promise<void> {
  const host = `${resource.split('/')[1]}.localhost`;
  await settled(at, resource, 1).catch((error: Error) => {
    throw new Error(`${error.message}\n${running.output()}`);
  });
  const load = pressure(at, host);
  commit(at, upgraded, 'nginx 1.1');
  await settled(at, resource, 2);
  t.ok(isNginx(at, resource), 'the process that was started is nginx itself');
  git(at.repo, 'revert', '--no-edit', 'HEAD');
  const back = await settled(at, resource, 3);
  t.equal(back.rollout.cause, 'rollback');
  const lost = await load.stop();
  const counts = [...load.seen].map(([version, count]) => `${version}: ${count}`).join(', ');
  t.same(lost, [], counts);
  t.ok((load.seen.get('1.0') ?? 0) > 100 && (load.seen.get('1.1') ?? 0) > 100, `both served: ${counts}`);
  t.comment(counts);
}

t.test('a workload of nginx, rolled and reverted under load, loses no request', { skip }, async (t) => {
  const at = await place({ 'web.yaml': workload('web', 'nginx:1.0', 3), ...FILES });
  const running = operator(at);
  t.teardown(() => clean(at, running));
  await thereAndBack(t, at, running, 'Workload/web', { 'web.yaml': workload('web', 'nginx:1.1', 3) });
});

t.test('a service of nginx, through a canary and back, loses no request', { skip }, async (t) => {
  const steps =
    '  replicas: 2\n  traffic: {steps: [{percent: 25, soak: 1s, check: [{http: {path: /}}]}, {percent: 100}]}\n';
  const at = await place({ 'shop.yaml': service('shop', 'nginx:1.0', steps), ...FILES });
  const running = operator(at);
  t.teardown(() => clean(at, running));
  await thereAndBack(t, at, running, 'Service/shop', { 'shop.yaml': service('shop', 'nginx:1.1', steps) });
});
