/** Two real hosts behind a real HAProxy: a script restarts the server of each, which loses every request that it still gets. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openHaproxyRuntime, openUnixSocket } from '../../src/target/haproxy/runtime.ts';
import { killServer, marksOf, onHost, targetOf } from '../e2e/hosts.ts';
import { freePort } from '../support/ports.ts';
import { noHaproxy, startHaproxy } from '../target/haproxy/haproxy.ts';
import { noSshd, startHosts } from '../target/ssh/hosts.ts';
import { files } from './rounds.ts';
import { expectedMarks, type Owner, type Subject, wrongMarks } from './subjects.ts';

const NAMES = ['web-1', 'web-2'];
const WEIGHTS = [100, 37];

const SERVER = `require('node:http')
  .createServer((_, response) => setTimeout(() => response.end(process.env.VERSION), 20))
  .listen(Number(process.env.PORT), '127.0.0.1');
`;
const RESTART = `set -e
port=$(cat port)
if [ -f pid ]; then kill -KILL "$(cat pid)"; while kill -0 "$(cat pid)" 2>/dev/null; do sleep 0.02; done; fi
VERSION=$1 PORT=$port setsid ${process.execPath} server.js </dev/null >/dev/null 2>&1 &
echo $! >pid
tries=0
until curl -fsS "http://127.0.0.1:$port/" >/dev/null 2>&1; do
  tries=$((tries + 1)); [ "$tries" -lt 200 ] || exit 1; sleep 0.05
done
`;

/** Why it cannot be walked through here; false: it can. */
export const noSsh = noSshd || noHaproxy;

export async function ssh(owner: Owner): Promise<Subject> {
  const hosts = await startHosts(owner, { names: NAMES, labels: () => ({ role: 'web' }) });
  owner.teardown(() => hosts.hosts.forEach(killServer));
  const servers: Record<string, { port: number; weight: number }> = {};
  for (const [n, host] of hosts.hosts.entries()) {
    const port = await freePort();
    servers[host.name] = { port, weight: WEIGHTS[n] ?? 1 };
    for (const [name, text] of Object.entries({ 'server.js': SERVER, restart: RESTART, port: `${port}\n` }))
      writeFileSync(join(host.home, name), text);
    onHost(host, 'sh', 'restart', '0');
  }
  const haproxy = await startHaproxy({ backends: { web: servers } });
  owner.teardown(() => haproxy.close());
  const runtime = openHaproxyRuntime({ backends: ['web'], open: () => openUnixSocket(haproxy.socket) });
  const weights = async () => [...(await runtime.servers()).values()].map(([server]) => server?.weight);
  const answers = () =>
    hosts.hosts.map((host) => onHost(host, 'sh', '-c', 'curl -fsS "http://127.0.0.1:$(cat port)/"'));

  return {
    resource: 'Fleet/web',
    units: 0,
    bounds: { total: 0, available: 0 },
    clients: { host: 'web', port: haproxy.port },
    files: (_, round) => ({
      'hosts.yaml': targetOf(hosts, { socket: haproxy.socket, backends: ['web'] }),
      'web.yaml': `apiVersion: sluice/v1
kind: Fleet
metadata: {name: web}
spec:
  target: hosts
  selector: {role: web}
  batches: 2
  check: [{command: [sh, -c, 'curl -fsS "http://127.0.0.1:$(cat port)/"']}]
  script:
    timeout: 1m
    run: |
      echo "run ${round} $SLUICE_INSTANCE" >>marks
      sh restart ${round}
`,
    }),
    seen: async () => [
      `weights ${await weights()}`,
      ...hosts.hosts.flatMap(({ home }) => files(join(home, '.sluice'))),
    ],
    async wrong(_, round) {
      const wrong = wrongMarks(marksOf(hosts), expectedMarks(['run'], NAMES, round));
      if (`${await weights()}` !== `${WEIGHTS}`) wrong.push(`the weights are ${await weights()}`);
      if (answers().some((answer) => answer !== String(round))) wrong.push(`the servers answer ${answers()}`);
      return wrong;
    },
  };
}
