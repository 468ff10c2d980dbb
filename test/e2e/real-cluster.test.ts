/**
 * A real cluster that nobody here wrote: three members of etcd, upgraded one by one over SSH under writes.
 *
 * There is one release of etcd to be had from Debian, so a "version" here is an installation: a copy of that program in a
 * folder named like the version, with flags of its own beside it. What a member runs is told by its process, not by a file.
 */
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { freePort } from '../support/ports.ts';
import { until } from '../support/until.ts';
import { noSshd, startHosts, type TestHosts } from '../target/ssh/hosts.ts';
import { killServer, onHost, targetOf } from './hosts.ts';
import { clean, commit, operator, type Place, place, settled, sluice } from './support.ts';

const [ETCD, ETCDCTL] = ['/usr/bin/etcd', '/usr/bin/etcdctl'];
const noEtcd = !(existsSync(ETCD) && existsSync(ETCDCTL)) && 'there is no etcd here';
const real = { skip: noSshd || noEtcd, timeout: 400_000 };
const NAMES = ['etcd-1', 'etcd-2', 'etcd-3'];
const FLAGS: Record<string, string> = {
  '1.0.0': '--snapshot-count=10000',
  '1.1.0': '--snapshot-count=50 --logger=zap',
};

const PROGRAMS: Record<string, string> = {
  start: `set -e
. ./member
setsid "$versions/$1/etcd" $(cat "$versions/$1/flags") --name "$name" --data-dir data --initial-cluster "$cluster" \\
  --listen-client-urls "$client" --advertise-client-urls "$client" \\
  --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" </dev/null >>log 2>&1 &
echo $! >pid
`,
  version: `folder=$(readlink "/proc/$(cat pid)/exe") && folder=\${folder%/etcd} && echo "\${folder##*/}"
`,
  drain: `set -e
. ./member
status=$(etcdctl --endpoints "$client" endpoint status)
echo "$name is drained" >>"$acts"
[ "$(echo "$status" | cut -d, -f5)" = " true" ] || exit 0
mine=$(echo "$status" | cut -d, -f2)
etcdctl --endpoints "$client" move-leader "$(etcdctl --endpoints "$client" member list | grep -v "^\${mine# }" | head -n 1 | cut -d, -f1)"
`,
  upgrade: `set -e
. ./member
echo "$name stops" >>"$acts"
kill "$(cat pid)"
while kill -0 "$(cat pid)" 2>/dev/null; do sleep 0.05; done
sh start "$1"
tries=0
until etcdctl --endpoints "$client" endpoint health >/dev/null 2>&1; do
  tries=$((tries + 1)); [ "$tries" -lt 100 ] || exit 1; sleep 0.1
done
echo "$name is healthy" >>"$acts"
`,
};

const cluster = (version: string) => `apiVersion: sluice/v1
kind: Cluster
metadata: {name: store}
spec:
  target: hosts
  version: ${version}
  upgrade:
    drain: {timeout: 1m, command: [sh, drain]}
    versionCommand: [sh, version]
    script: {run: 'sh upgrade "$SLUICE_VERSION"', timeout: 1m}
  prechecks: [{command: [sh, -c, '. ./member; etcdctl --endpoints "$client" endpoint health']}]
`;

interface Members {
  hosts: TestHosts;
  /** Where clients ask them. */
  urls: string[];
  acts(): string[];
}

async function startMembers(t: Test): Promise<Members> {
  const hosts = await startHosts(t, { names: NAMES, labels: () => ({ role: 'control-plane' }) });
  t.teardown(() => hosts.hosts.forEach(killServer));
  const versions = join(hosts.root, 'versions');
  for (const [version, flags] of Object.entries(FLAGS)) {
    mkdirSync(join(versions, version), { recursive: true });
    copyFileSync(ETCD, join(versions, version, 'etcd'));
    chmodSync(join(versions, version, 'etcd'), 0o755);
    writeFileSync(join(versions, version, 'flags'), flags);
  }
  const url = async () => `http://127.0.0.1:${await freePort()}`;
  const [urls, peers] = [
    [await url(), await url(), await url()],
    [await url(), await url(), await url()],
  ];
  const all = NAMES.map((name, n) => `${name}=${peers[n]}`).join(',');
  const acts = join(hosts.root, 'acts');
  writeFileSync(acts, '');
  for (const [n, host] of hosts.hosts.entries()) {
    const known = { name: host.name, client: urls[n], peer: peers[n], cluster: all, versions, acts };
    const lines = Object.entries(known).map(([name, value]) => `${name}='${value}'\n`);
    writeFileSync(join(host.home, 'member'), lines.join(''));
    for (const [name, text] of Object.entries(PROGRAMS)) writeFileSync(join(host.home, name), text);
    onHost(host, 'sh', 'start', '1.0.0');
  }
  await until('they are a cluster', () => put(urls[0] ?? '', 'first', 'write'));
  return { hosts, urls, acts: () => readFileSync(acts, 'utf8').trim().split('\n') };
}

const encoded = (text: string) => Buffer.from(text).toString('base64');
const decoded = (text: string) => Buffer.from(text, 'base64').toString();

async function ask(url: string, path: string, body: Record<string, unknown>): Promise<Response | undefined> {
  const sent = { method: 'POST', body: JSON.stringify(body), signal: AbortSignal.timeout(3_000) };
  return fetch(`${url}${path}`, sent).catch(() => undefined);
}

/** Whether the member acknowledged it. */
async function put(url: string, key: string, value: string): Promise<boolean> {
  const answer = await ask(url, '/v3/kv/put', { key: encoded(key), value: encoded(value) });
  await answer?.text().catch(() => '');
  return answer?.ok === true;
}

/** All that the member itself has, whatever the others say. */
async function everything(url: string): Promise<Map<string, string>> {
  const answer = await ask(url, '/v3/kv/range', { key: encoded('\0'), range_end: encoded('\0'), serializable: true });
  if (answer === undefined) return new Map();
  const { kvs = [] } = (await answer.json()) as { kvs?: { key: string; value: string }[] };
  return new Map(kvs.map(({ key, value }) => [decoded(key), decoded(value)]));
}

interface Written {
  acknowledged: Map<string, string>;
  /** How often a member did not take a write. */
  refused: number;
}

/** Writes one key after another until the place is over; what one member does not take is asked of the next. */
function writeThroughout({ urls }: Members, { over }: Place): { stop(): Promise<Written> } {
  const written: Written = { acknowledged: new Map(), refused: 0 };
  let going = true;
  const writer = async (writer: number) => {
    let member = writer;
    for (let n = 0; going && !over.signal.aborted; n++) {
      const [key, value] = [`writer-${writer}/${n}`, `${writer * 1_000_000 + n}`];
      while (!(await put(urls[member % urls.length] ?? '', key, value)) && !over.signal.aborted) {
        written.refused++;
        member++;
      }
      written.acknowledged.set(key, value);
    }
  };
  const writers = urls.map((_, n) => writer(n));
  return {
    async stop() {
      going = false;
      await Promise.all(writers);
      return written;
    },
  };
}

test(
  'members of etcd are upgraded one by one while clients write, and no acknowledged write is lost',
  real,
  async (t) => {
    const members = await startMembers(t);
    const at = await place({ 'hosts.yaml': targetOf(members.hosts), 'store.yaml': cluster('1.0.0') });
    const running = operator(at);
    t.teardown(() => clean(at, running));
    await settled(at, 'Cluster/store', 1);
    const before = members.acts().length;

    const client = writeThroughout(members, at);
    commit(at, { 'store.yaml': cluster('1.1.0') }, 'store 1.1.0');
    const upgraded = await settled(at, 'Cluster/store', 2);
    const { acknowledged, refused } = await client.stop();
    t.comment(`${acknowledged.size} writes were acknowledged, ${refused} had to be tried elsewhere`);

    t.match(
      upgraded.rollout.stages.map(({ name }: { name: string }) => name),
      [/^control plane 1 of 3/, /^control plane 2 of 3/, /^control plane 3 of 3/],
    );
    t.strictSame(
      members.acts().slice(before),
      NAMES.flatMap((name) => [`${name} is drained`, `${name} stops`, `${name} is healthy`]),
      'one at a time, each once',
    );
    t.match((await sluice(at, 'status', 'Cluster/store')).output, /1\.1\.0/);
    for (const host of members.hosts.hosts) {
      const pid = readFileSync(join(host.home, 'pid'), 'utf8').trim();
      t.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), '1.1.0/etcd\0--snapshot-count=50\0--logger=zap');
    }
    t.ok(acknowledged.size > 100, 'there was something to lose');
    for (const url of members.urls) {
      const lost = async () => {
        const has = await everything(url);
        return [...acknowledged].filter(([key, value]) => has.get(key) !== value);
      };
      await until(`${url} has every acknowledged write`, async () => (await lost()).length === 0);
    }
  },
);
