/** Fleets, clusters and hosts: what their manifests become, what is said about wrong ones, and what makes a revision. */
import t from 'tap';
import { formatDiagnostic } from '../../src/manifest/diagnostic.ts';
import { placed } from '../../src/manifest/documents.ts';
import { clusterHosts, selectHosts } from '../../src/manifest/members.ts';
import { parseFile } from '../../src/manifest/parse.ts';
import type { InstanceDocument, TargetDocument } from '../../src/manifest/parsed.ts';
import { type Resolved, resolve } from '../../src/manifest/resolve.ts';
import { MAX_SCRIPT, type ScriptFile } from '../../src/manifest/script-file.ts';
import type { SshTarget } from '../../src/manifest/target.ts';
import { imagesOf, oidOf, said, surveyor } from './commit.ts';

const document = (kind: string, spec: string, name = 'web') => `apiVersion: sluice/v1
kind: ${kind}
metadata: {name: ${name}}
spec:
${spec
  .trim()
  .split('\n')
  .map((line) => `  ${line}\n`)
  .join('')}`;
const fleet = (spec: string, name = 'web') => document('Fleet', spec, name);
const cluster = (spec: string, name = 'prod') => document('Cluster', spec, name);
const HOSTS = document(
  'Target',
  `
ssh:
  user: deploy
  hosts:
    - {name: web-1, address: 10.0.0.11, labels: {role: web, zone: a}}
    - {name: web-2, address: 10.0.0.12, labels: {role: web, zone: b}, port: 2222, user: root}
    - {name: db-1, address: 10.0.0.13, labels: {role: db}}`,
  'hosts',
);
const RUN = 'script: {run: ./up}';

const specOf = (text: string) => {
  const { documents, diagnostics } = parseFile(text);
  t.strictSame(diagnostics, []);
  return (documents[0] as InstanceDocument).declares?.spec;
};

t.test('a fleet gets every default', async (t) => {
  t.strictSame(specOf(fleet('selector: {role: web}\nscript: {run: ./up}')), {
    kind: 'Fleet',
    target: 'local',
    paused: false,
    onFailure: 'pause',
    progressDeadlineSeconds: 600,
    revisionHistoryLimit: 5,
    windows: [],
    members: { selector: { role: 'web' } },
    host: 'web.localhost',
    script: { interpreter: 'sh', run: { text: './up' }, timeout: '10m' },
    batches: 4,
    pause: 'never',
    maxFailures: 0,
    check: [],
    suspend: ['scaleIn', 'scaleOut', 'healthCheck', 'scheduledAction'],
    suspended: [],
    schedules: [],
  });
});

t.test('a fleet says all that the contract has', async (t) => {
  const spec = specOf(
    fleet(`
size: 10
image: base:2026.11
rollbackImage: base:2026.10
script: {interpreter: powershell, runFile: up.ps1, rollbackFile: scripts/down.ps1, timeout: 1h}
batches: 2
pause: everyBatch
maxFailures: 3
check: [{http: {path: /health, port: 80}}, {command: [test, -f, /ok]}]
suspend: [healthCheck]
suspended: [scaleIn]
scaling: {schedules: [{cron: "0 8 * * *", size: 20}]}`),
  );
  t.match(spec, {
    members: { size: 10 },
    image: 'base:2026.11',
    rollbackImage: 'base:2026.10',
    script: {
      interpreter: 'powershell',
      run: { file: 'up.ps1' },
      rollback: { file: 'scripts/down.ps1' },
      timeout: '1h',
    },
    batches: 2,
    pause: 'everyBatch',
    maxFailures: 3,
    check: [{ http: { path: '/health', port: 80 } }, { command: ['test', '-f', '/ok'] }],
    suspend: ['healthCheck'],
    suspended: ['scaleIn'],
    schedules: [{ cron: '0 8 * * *', size: 20, timezone: 'UTC' }],
  });
});

t.test('a cluster gets every default, and a command as text is read by sh', async (t) => {
  t.strictSame(specOf(cluster('version: 1.36.3')), {
    kind: 'Cluster',
    target: 'local',
    paused: false,
    onFailure: 'pause',
    progressDeadlineSeconds: 600,
    revisionHistoryLimit: 5,
    windows: [],
    version: '1.36.3',
    upgrade: { maxBatchPercent: 10, drain: { timeout: '10m' }, expireAfter: '15d' },
    prechecks: [],
  });
  const full = specOf(
    cluster(`
version: 1.36.3
image: node
controlPlane: 3
nodes: 40
upgrade: {maxBatchPercent: 25, drain: {timeout: 5m, command: "drain --all", undo: [undrain]}, expireAfter: 3d, script: {run: ./up}, versionCommand: [node-version]}
prechecks: [{command: "true"}, {http: {url: "http://monitor/ok"}}]`),
  );
  t.match(full, {
    create: { image: 'node', controlPlane: 3, nodes: 40 },
    upgrade: {
      maxBatchPercent: 25,
      drain: { timeout: '5m', command: ['sh', '-c', 'drain --all'], undo: ['undrain'] },
      expireAfter: '3d',
      script: { interpreter: 'sh', run: { text: './up' } },
      versionCommand: ['node-version'],
    },
    prechecks: [{ command: ['sh', '-c', 'true'] }, { http: { url: 'http://monitor/ok' } }],
  });
});

const sshOf = (text: string): SshTarget => {
  const { documents, diagnostics } = parseFile(text);
  t.strictSame(diagnostics, []);
  const ssh = (documents[0] as TargetDocument).declares?.ssh;
  if (ssh === undefined) throw new Error('no hosts');
  return ssh;
};

t.test('hosts take what the target says, where they say nothing else', async (t) => {
  t.strictSame(sshOf(HOSTS), {
    key: { agent: true },
    knownHostsFile: '~/.ssh/known_hosts',
    hosts: [
      { name: 'web-1', address: '10.0.0.11', port: 22, user: 'deploy', labels: { role: 'web', zone: 'a' } },
      { name: 'web-2', address: '10.0.0.12', port: 2222, user: 'root', labels: { role: 'web', zone: 'b' } },
      { name: 'db-1', address: '10.0.0.13', port: 22, user: 'deploy', labels: { role: 'db' } },
    ],
  });
  const more = `  port: 2200
  identityFile: ~/.ssh/sluice
  knownHostsFile: /etc/ssh/known
  jump: {address: gate.example.com}
  loadBalancer: {haproxy: {socket: /run/haproxy.sock, host: db-1, backends: [web]}}
`;
  t.match(sshOf(HOSTS + more.replace(/^/gm, '  ').trimEnd()), {
    key: { identityFile: '~/.ssh/sluice' },
    knownHostsFile: '/etc/ssh/known',
    jump: { address: 'gate.example.com', port: 22, user: 'deploy' },
    hosts: [{ port: 2200 }, { port: 2222 }, { port: 2200 }],
    loadBalancer: { socket: '/run/haproxy.sock', host: 'db-1', backends: ['web'] },
  });
});

t.test('hosts are selected by all labels, in the order of the target', async (t) => {
  const ssh = sshOf(HOSTS);
  const names = (selector: Record<string, string>) => selectHosts(ssh, selector).map(({ name }) => name);
  t.strictSame(names({ role: 'web' }), ['web-1', 'web-2']);
  t.strictSame(names({ role: 'web', zone: 'b' }), ['web-2']);
  t.strictSame(names({ role: 'cache' }), []);
  t.strictSame(names({ toString: 'x' }), []);
});

t.test('a cluster has all hosts but that of the load balancer, the control plane by its label', async (t) => {
  const text = `
ssh:
  user: deploy
  hosts:
    - {name: n-1, address: a}
    - {name: m-1, address: b, labels: {role: control-plane}}
    - {name: lb, address: c}
  loadBalancer: {haproxy: {socket: /s, host: lb, backends: [x]}}`;
  const { controlPlane, nodes } = clusterHosts(sshOf(document('Target', text)));
  t.strictSame([controlPlane.map(({ name }) => name), nodes.map(({ name }) => name)], [['m-1'], ['n-1']]);
});

const wrong: [what: string, yaml: string, says: string[]][] = [
  [
    'a fleet of nothing, with nothing',
    fleet('paused: false'),
    [
      'a.yaml:4:1 spec: expected exactly one of selector, size, found none [exactly-one]',
      'a.yaml:4:1 spec.image: there is nothing to upgrade to; add image, script or both [missing-field]',
    ],
  ],
  [
    'both selector and size',
    fleet(`selector: {role: web}\nsize: 3\n${RUN}`),
    ['a.yaml:4:1 spec: expected exactly one of selector, size, found selector and size [exactly-one]'],
  ],
  [
    'an empty selector',
    fleet(`selector: {}\n${RUN}`),
    ['a.yaml:5:13 spec.selector: expected at least 1 entry, found 0 [bad-value]'],
  ],
  [
    'numbers out of bounds',
    fleet(`size: 10001\n${RUN}\nbatches: 0\nmaxFailures: -1`),
    [
      'a.yaml:5:9 spec.size: expected at most 10000, found 10001 [bad-value]',
      'a.yaml:7:12 spec.batches: expected at least 1, found 0 [bad-value]',
      'a.yaml:8:16 spec.maxFailures: expected at least 0, found -1 [bad-value]',
    ],
  ],
  [
    'a script of two sources',
    fleet('size: 1\nscript: {run: a, runFile: b, rollback: c, rollbackFile: d}'),
    [
      'a.yaml:6:3 spec.script: expected exactly one of run, runFile, found run and runFile [exactly-one]',
      'a.yaml:6:45 spec.script.rollbackFile: rollback is there too; remove one [exactly-one]',
    ],
  ],
  [
    'a script of none, run by nothing known',
    fleet('size: 1\nscript: {interpreter: bash, timeout: 400d}'),
    [
      'a.yaml:6:3 spec.script: expected exactly one of run, runFile, found none [exactly-one]',
      'a.yaml:6:25 spec.script.interpreter: expected one of sh, bat, powershell, found "bash" [bad-value]',
      'a.yaml:6:40 spec.script.timeout: "400d" is longer than 366 days; shorten it [bad-duration]',
    ],
  ],
  [
    'script files outside of the repository',
    fleet('size: 1\nscript: {runFile: ../../etc/passwd, rollbackFile: .git/config}'),
    [
      'a.yaml:6:21 spec.script.runFile: must not contain ".."; write the path without it [bad-path]',
      'a.yaml:6:53 spec.script.rollbackFile: must not lie in .git; move the file into the repository [bad-path]',
    ],
  ],
  [
    'a script file of the machine',
    fleet('size: 1\nscript: {runFile: /etc/passwd}'),
    [
      'a.yaml:6:21 spec.script.runFile: expected a path that starts at the folder of this manifest, such as scripts/upgrade.sh, found "/etc/passwd" [bad-value]',
    ],
  ],
  [
    'processes that are none, or twice',
    fleet(`size: 1\n${RUN}\nsuspend: [scalein, healthCheck, healthCheck]`),
    [
      'a.yaml:7:13 spec.suspend[0]: expected one of scaleIn, scaleOut, healthCheck, scheduledAction, found "scalein"; did you mean "scaleIn"? [bad-value]',
      'a.yaml:7:35 spec.suspend[2]: "healthCheck" is there already; remove it [duplicate]',
    ],
  ],
  [
    'schedules that never come, for hosts that nobody creates',
    fleet(
      `selector: {role: web}\n${RUN}\nscaling: {schedules: [{cron: "0 25 * * *", size: 2}, {cron: "0 8 * * *", size: 2, timezone: Mars}]}`,
    ),
    [
      'a.yaml:7:13 spec.scaling.schedules: schedules change size; hosts that a selector finds cannot be created or removed [bad-value]',
      'a.yaml:7:32 spec.scaling.schedules[0].cron: "0 25 * * *" is not a cron expression that ever matches; expected minute, hour, day of month, month, day of week, such as "0 2 * * 6" [bad-cron]',
      'a.yaml:7:95 spec.scaling.schedules[1].timezone: "Mars" is not a time zone; expected a name such as UTC or Asia/Shanghai [bad-timezone]',
    ],
  ],
  [
    'a rollback image without an image',
    fleet(`size: 1\n${RUN}\nrollbackImage: "base:1"`),
    ['a.yaml:7:3 spec.rollbackImage: rollbackImage goes with image; add image, or remove it [bad-value]'],
  ],
  [
    'a check of a port by name',
    fleet(`size: 1\n${RUN}\ncheck: [{http: {path: /, port: http}}, {http: {url: "http://a/b", port: 80}}]`),
    [
      'a.yaml:7:34 spec.check[0].http.port: expected a whole number, found "http" [wrong-type]',
      'a.yaml:7:75 spec.check[1].http.port: port goes with path; write the port of a url in the url [bad-value]',
    ],
  ],
  [
    'versions that are none',
    `${cluster('version: v1.36.3')}---\n${cluster('version: 1.36', 'two')}---\n${cluster('version: 01.2.3', 'three')}`,
    [
      'a.yaml:5:12 spec.version: expected a version of three numbers, such as 1.36.3, without a "v", found "v1.36.3" [bad-value]',
      'a.yaml:11:12 spec.version: expected text, found a number; put it in quotes [wrong-type]',
      'a.yaml:17:12 spec.version: expected a version of three numbers, such as 1.36.3, without a "v", found "01.2.3" [bad-value]',
    ],
  ],
  [
    'a cluster out of bounds',
    cluster(
      'version: 1.2.3\nimage: node:1\ncontrolPlane: 0\nnodes: 10001\nupgrade: {maxBatchPercent: 0, expireAfter: 2 weeks, drain: {undo: x}}\nprechecks: [{http: {path: /}}, {}]',
    ),
    [
      'a.yaml:6:10 spec.image: expected a name without a tag, such as node: letters, digits, "-", "_" and ".", in parts joined by "/", without "..", found "node:1" [bad-value]',
      'a.yaml:7:17 spec.controlPlane: expected at least 1, found 0 [bad-value]',
      'a.yaml:8:10 spec.nodes: expected at most 10000, found 10001 [bad-value]',
      'a.yaml:9:30 spec.upgrade.maxBatchPercent: expected at least 1, found 0 [bad-value]',
      'a.yaml:9:46 spec.upgrade.expireAfter: expected a duration: one whole number and one of ms, s, m, h, d, such as 90s or 10m, found "2 weeks" [bad-value]',
      'a.yaml:9:63 spec.upgrade.drain.undo: undo takes back what command did; add command, or remove it [bad-value]',
      'a.yaml:10:16 spec.prechecks[0].http.url: missing; add "url": what is asked, e.g. a question to a monitoring system [missing-field]',
      'a.yaml:10:23 spec.prechecks[0].http.path: unknown field "path"; known here: url [unknown-field]',
      'a.yaml:10:34 spec.prechecks[1]: expected exactly one of http, command, found none [exactly-one]',
    ],
  ],
  [
    'nodes without an image',
    cluster('version: 1.2.3\nnodes: 3'),
    [
      'a.yaml:6:3 spec.nodes: nodes is for a target that creates nodes; add image, what they run, or remove it [bad-value]',
    ],
  ],
  [
    'hosts that are one, or lack what they need',
    document(
      'Target',
      'ssh:\n  hosts:\n    - {name: a, address: h.example}\n    - {name: a, address: H.example}\n    - {name: b, address: h.example, port: 23}\n    - {name: c, address: -oProxyCommand=x}',
    ),
    [
      'a.yaml:5:3 spec.ssh.user: missing; add "user": who logs in, where a host says nothing else [missing-field]',
      'a.yaml:8:16 spec.ssh.hosts[1].name: "a" is there already, at index 0; each needs a name of its own [duplicate]',
      'a.yaml:8:28 spec.ssh.hosts[1].address: "H.example" with the same port is there already, at index 0; one host is one entry [duplicate]',
      'a.yaml:10:28 spec.ssh.hosts[3].address: expected a host name or an IP address, such as 10.0.0.11, found "-oProxyCommand=x" [bad-value]',
    ],
  ],
  [
    'a key in the config repository',
    document(
      'Target',
      'ssh:\n  user: a\n  identityFile: keys/id\n  agent: true\n  knownHostsFile: /a/../b\n  hosts: [{name: a, address: a}]\n  loadBalancer: {haproxy: {socket: /s, host: aa, backends: [web]}}',
    ),
    [
      'a.yaml:7:19 spec.ssh.identityFile: expected a file of the operator\'s machine, as an absolute path or one that starts with "~/", found "keys/id" [bad-value]',
      'a.yaml:8:5 spec.ssh.agent: identityFile is there too; remove one [exactly-one]',
      'a.yaml:9:21 spec.ssh.knownHostsFile: must not contain ".."; write the path without it [bad-path]',
      'a.yaml:11:48 spec.ssh.loadBalancer.haproxy.host: there is no host "aa" in this target; did you mean "a"? [missing-reference]',
    ],
  ],
  [
    'a target of a driver that is not there',
    document('Target', 'nomad: {}'),
    [
      'a.yaml:4:1 spec: expected exactly one of local, docker, kubernetes, ssh, found none [exactly-one]',
      'a.yaml:5:3 spec.nomad: unknown field "nomad"; known here: local, docker, kubernetes, ssh, policy [unknown-field]',
    ],
  ],
  [
    'a target of two drivers',
    document('Target', 'local: {}\nssh: {user: a, hosts: [{name: a, address: a}]}'),
    ['a.yaml:4:1 spec: expected exactly one of local, docker, kubernetes, ssh, found local and ssh [exactly-one]'],
  ],
];
for (const [what, yaml, says] of wrong)
  t.test(`it says what is wrong with ${what}`, async (t) => {
    const { documents, diagnostics } = parseFile(yaml);
    const found = diagnostics.map((found) => `${formatDiagnostic(placed('a.yaml', found))} [${found.code}]`);
    t.strictSame(found, says);
    t.ok(documents.every(({ declares }) => declares === undefined));
  });

t.test('operations on units of a fleet are taken', async (t) => {
  for (const action of ['retry', 'skip', 'cancel']) {
    const text = document('Operation', `{resource: Fleet/web, rollout: 7, action: ${action}, unit: web-3}`);
    t.strictSame(parseFile(text).diagnostics, [], action);
  }
});

const IMAGES = { 'images/base/1': 'command: [serve]\n', 'images/node/1.2.3': 'command: [node]\n' };

interface Commit {
  images?: Record<string, string>;
  scripts?: Record<string, string | ScriptFile>;
}
function repository() {
  const look = surveyor();
  let last: Resolved | undefined;
  return (texts: Record<string, string>, { images = IMAGES, scripts = {} }: Commit = {}): Resolved => {
    const seen = look(texts);
    const found = Object.entries(scripts)
      .filter(([path]) => seen.scripts.has(path))
      .map(([path, file]): [string, ScriptFile] => [
        path,
        typeof file === 'string' ? { oid: oidOf(file), content: file } : file,
      ]);
    last = resolve(last, seen, imagesOf(seen, images), new Map(found));
    return last;
  };
}

const only = (resolved: Resolved) => {
  t.strictSame(said(resolved.diagnostics), []);
  const [resource] = resolved.resources.values();
  if (resource === undefined) throw new Error('no resource');
  return resource;
};

t.test('a fleet is complete: image, script with its files, and from what it was made', async (t) => {
  const text = fleet('size: 3\nimage: base:1\nscript: {runFile: up.sh, rollbackFile: undo/down.sh}');
  const scripts = { 'fleets/up.sh': 'echo up\n', 'fleets/undo/down.sh': 'echo down\n' };
  const resource = only(repository()({ 'fleets/web.yaml': text }, { scripts }));
  t.equal(resource.id, 'Fleet/web');
  t.match(resource.revision, /^[0-9a-f]{10}$/);
  t.strictSame(resource.runnable, {
    resource: 'Fleet/web',
    revision: resource.revision,
    image: { name: 'base:1', tree: oidOf('tree command: [serve]\n'), command: ['serve'], env: {} },
    script: { interpreter: 'sh', run: 'echo up\n', rollback: 'echo down\n', timeout: '10m' },
  });
  t.strictSame(
    resource.inputs.map(({ path }) => path),
    ['fleets/web.yaml', 'images/base/1', 'fleets/up.sh', 'fleets/undo/down.sh'],
  );
});

t.test('a fleet: its image and its script make a revision, all else is how', async (t) => {
  const base = 'size: 3\nimage: base:1\nscript: {run: a, rollback: b}';
  const revision = (spec: string, commit: Commit = {}) =>
    only(repository()({ 'a.yaml': fleet(spec) }, commit)).revision;
  const same = revision(base);
  for (const how of [
    'batches: 2',
    'pause: everyBatch',
    'maxFailures: 2',
    'suspended: [scaleIn]',
    'check: [{command: [x]}]',
    'rollbackImage: base:1',
    'scaling: {schedules: [{cron: "0 8 * * *", size: 20}]}',
  ])
    t.equal(revision(`${base}\n${how}`), same, how);
  t.equal(revision(base.replace('size: 3', 'size: 4')), same);
  t.equal(revision(base.replace('b}', 'b, timeout: 1h}')), same, 'a timeout is how');
  t.equal(
    revision(base.replace('run: a', 'runFile: a.sh'), { scripts: { 'a.sh': 'a' } }),
    same,
    'where the script stands is how',
  );
  t.not(revision(base.replace('run: a', 'run: c')), same);
  t.not(revision(base.replace('rollback: b', 'rollback: c')), same, 'what undoes it is kept with the revision');
  t.not(revision(base.replace('{run', '{interpreter: bat, run')), same);
  t.not(revision(base.replace('image: base:1\n', '')), same);
  t.not(revision(base, { images: { 'images/base/1': 'command: [other]\n' } }), same, 'what lies in the image');
});

t.test('a cluster: its version makes a revision, the way there is how', async (t) => {
  const base = 'version: 1.2.3\nimage: node';
  const of = (spec: string, commit: Commit = {}) => only(repository()({ 'a.yaml': cluster(spec) }, commit));
  const same = of(base);
  t.match(same.runnable, { version: '1.2.3', image: { name: 'node:1.2.3', command: ['node'] } });
  for (const how of ['nodes: 7', 'upgrade: {maxBatchPercent: 50, script: {run: x}}', 'prechecks: [{command: x}]']) {
    t.equal(of(`${base}\n${how}`).revision, same.revision, how);
    t.not(of(`${base}\n${how}`).digest, same.digest, how);
  }
  const images = { 'images/node/1.2.4': 'command: [node]\n', 'images/node/1.2.3': 'command: [other]\n' };
  t.not(of('version: 1.2.4\nimage: node', { images }).revision, same.revision);
  t.not(of(base, { images }).revision, same.revision, 'another image under the same version runs something else');
});

t.test('what a fleet or a cluster refers to must be there', async (t) => {
  const big = 'x'.repeat(MAX_SCRIPT + 1);
  const scripted = 'size: 1\nscript: {runFile: up.sh}';
  const cases: [what: string, texts: Record<string, string>, commit: Commit, says: string[]][] = [
    [
      'an image',
      { 'a.yaml': fleet('size: 1\nimage: base:2') },
      {},
      [
        'a.yaml:6:10 spec.image: there is no image "base:2": the folder "images/base/2" is not in this commit; add it with an image.yaml [missing-reference]',
      ],
    ],
    [
      'a target',
      { 'a.yaml': fleet(`target: host\nselector: {role: web}\n${RUN}`), 't.yaml': HOSTS },
      {},
      ['a.yaml:5:11 spec.target: there is no valid Target "host"; did you mean "hosts"? [missing-reference]'],
    ],
    [
      'a script',
      { 'f/a.yaml': fleet(scripted) },
      { scripts: { 'up.sh': 'a' } },
      ['f/a.yaml:6:21 spec.script.runFile: there is no file f/up.sh in this commit; add it [bad-script]'],
    ],
    [
      'a script that is a link',
      { 'a.yaml': fleet(scripted) },
      { scripts: { 'up.sh': { refused: 'a link' } } },
      ['a.yaml:6:21 spec.script.runFile: up.sh is a link; commit the script itself as a file [bad-script]'],
    ],
    [
      'a script that is too large',
      { 'a.yaml': fleet(scripted) },
      { scripts: { 'up.sh': big } },
      ['a.yaml:6:21 spec.script.runFile: up.sh is too large; a script is at most 1 MiB [bad-script]'],
    ],
    [
      'a script that is no text',
      { 'a.yaml': fleet(scripted) },
      { scripts: { 'up.sh': { oid: oidOf(''), content: new Uint8Array([0x7f, 0x45, 0xff]) } } },
      ['a.yaml:6:21 spec.script.runFile: up.sh is not UTF-8 text; save it as UTF-8 [bad-script]'],
    ],
    [
      'a script that is empty',
      { 'a.yaml': fleet(scripted) },
      { scripts: { 'up.sh': '\n' } },
      ['a.yaml:6:21 spec.script.runFile: up.sh is empty; write the script into it [bad-script]'],
    ],
    [
      'hosts that a target creates',
      { 'a.yaml': fleet(`selector: {role: web}\n${RUN}`), 'b.yaml': cluster('version: 1.2.3') },
      {},
      [
        'a.yaml:5:3 spec.selector: Target "local" has no hosts to select, it creates instances; give size instead [bad-members]',
        'b.yaml:4:1 spec.image: missing; Target "local" creates the nodes, so add image, and controlPlane and nodes if they are not 1 and 0 [bad-members]',
      ],
    ],
    [
      'instances that a target cannot create',
      { 'a.yaml': fleet(`target: hosts\nsize: 3\nimage: base:1`), 't.yaml': HOSTS },
      {},
      [
        'a.yaml:6:3 spec.size: Target "hosts" cannot create instances; give selector instead [bad-members]',
        'a.yaml:6:3 spec.image: Target "hosts" cannot replace the image of a host; use script [bad-members]',
      ],
    ],
    [
      'how the nodes of a target of hosts get there',
      { 'a.yaml': cluster('target: hosts\nversion: 1.2.3'), 't.yaml': HOSTS },
      {},
      [
        'a.yaml:4:1 spec.upgrade.script: missing; on Target "hosts" nothing else upgrades a node [bad-members]',
        'a.yaml:4:1 spec.upgrade.versionCommand: missing; on Target "hosts" nothing else tells which version a node runs [bad-members]',
        'a.yaml:4:1 spec.target: no host of Target "hosts" has the label "role: control-plane"; label those that are [bad-members]',
      ],
    ],
  ];
  for (const [what, texts, commit, says] of cases) {
    const resolved = repository()(texts, commit);
    t.strictSame(said(resolved.diagnostics), says, what);
    t.equal(resolved.resources.size, 0, what);
    t.ok(resolved.invalid.size > 0, what);
    t.strictSame(new Set(resolved.diagnostics.map(({ resource }) => resource)), resolved.invalid, what);
  }
});

t.test('a selector that finds nothing yet is a warning', async (t) => {
  const texts = { 'a.yaml': fleet(`target: hosts\nselector: {role: cache}\n${RUN}`), 't.yaml': HOSTS };
  const resolved = repository()(texts);
  t.strictSame(said(resolved.diagnostics), [
    'a.yaml:6:3 spec.selector: warning: no host of Target "hosts" carries these labels; see hosts there [bad-members]',
  ]);
  t.strictSame([...resolved.resources.keys()], ['Fleet/web']);
});

t.test(
  'a cluster on Kubernetes has every node of its target, which no other cluster shares; a fleet has none',
  async (t) => {
    const target = 'apiVersion: sluice/v1\nkind: Target\nmetadata: {name: prod}\nspec: {kubernetes: {context: prod}}\n';
    const cluster = (name: string) =>
      `apiVersion: sluice/v1\nkind: Cluster\nmetadata: {name: ${name}}\nspec: {target: prod, version: 1.36.3, upgrade: {script: {run: x}}}\n`;
    const commit = repository();
    const one = commit({ 'a.yaml': cluster('a'), 't.yaml': target });
    t.strictSame([said(one.diagnostics), [...one.resources.keys()]], [[], ['Cluster/a']]);
    const two = commit({ 'a.yaml': cluster('a'), 'b.yaml': cluster('b'), 't.yaml': target });
    t.strictSame(said(two.diagnostics), [
      'a.yaml:4:16 spec.target: every node of Target "prod" is also that of Cluster/b, which makes all of them invalid; give each its own [shared-host]',
      'b.yaml:4:16 spec.target: every node of Target "prod" is also that of Cluster/a, which makes all of them invalid; give each its own [shared-host]',
    ]);
    const fleet = `apiVersion: sluice/v1\nkind: Fleet\nmetadata: {name: f}\nspec: {target: prod, size: 1, script: {run: x}}\n`;
    t.strictSame(said(repository()({ 'a.yaml': fleet, 't.yaml': target }).diagnostics), [
      'a.yaml:4:16 spec.target: Target "prod" is a namespace of Kubernetes, in which no Fleet runs; name one of local or of hosts [unsupported-kind]',
    ]);
  },
);

t.test('a host that two fleets select makes both invalid until one lets go', async (t) => {
  const commit = repository();
  const two = fleet(`target: hosts\nselector: {zone: a}\n${RUN}`, 'two');
  const texts = { 'a.yaml': fleet(`target: hosts\nselector: {role: web}\n${RUN}`), 'b.yaml': two, 't.yaml': HOSTS };
  const resolved = commit(texts);
  t.strictSame(said(resolved.diagnostics), [
    'a.yaml:6:3 spec.selector: host "web-1" of Target "hosts" is also that of Fleet/two, which makes all of them invalid; give each its own [shared-host]',
    'b.yaml:6:3 spec.selector: host "web-1" of Target "hosts" is also that of Fleet/web, which makes all of them invalid; give each its own [shared-host]',
  ]);
  t.strictSame([...resolved.invalid].sort(), ['Fleet/two', 'Fleet/web']);
  t.match(resolved.diagnostics, [{ resource: 'Fleet/web' }, { resource: 'Fleet/two' }]);
  t.equal(resolved.resources.size, 0);
  const mended = commit({ ...texts, 'b.yaml': two.replace('zone: a', 'role: db') });
  t.strictSame(said(mended.diagnostics), []);
  t.strictSame([...mended.resources.keys()].sort(), ['Fleet/two', 'Fleet/web']);
});

t.test('a fleet cannot have a host name of the router that something else has', async (t) => {
  const workload = document(
    'Workload',
    'host: shop.localhost\ntemplate: {spec: {containers: [{name: a, image: "base:1"}]}}',
  );
  const texts = { 'a.yaml': fleet(`size: 1\nhost: shop.localhost\n${RUN}`), 'b.yaml': workload };
  const resolved = repository()(texts);
  t.match(said(resolved.diagnostics), [
    'a.yaml:6:9 spec.host: the host "shop.localhost" is also that of Workload/web, which makes all of them invalid; give each its own [duplicate-host]',
  ]);
  t.strictSame([...resolved.invalid], ['Fleet/web']);
});

t.test('two of a name make both invalid', async (t) => {
  const one = fleet(`size: 1\n${RUN}`);
  const resolved = repository()({ 'a.yaml': one, 'b.yaml': one });
  t.match(said(resolved.diagnostics), [/^a\.yaml.*Fleet "web" is declared at b\.yaml:3:18 too/, /^b\.yaml/]);
  t.strictSame([...resolved.invalid], ['Fleet/web']);
  t.strictSame(
    resolved.diagnostics.map(({ resource }) => resource),
    ['Fleet/web', 'Fleet/web'],
  );
});

t.test('an error in a document says which fleet or cluster it is about', async (t) => {
  const text = `${fleet('size: 1')}---\n${cluster('version: v1')}`;
  t.strictSame(
    parseFile(text).diagnostics.map(({ resource }) => resource),
    ['Fleet/web', 'Cluster/prod'],
  );
});

t.test('replicas do not run on hosts', async (t) => {
  const workload = document('Workload', 'target: hosts\ntemplate: {spec: {containers: [{name: a, image: "base:1"}]}}');
  t.strictSame(said(repository()({ 'a.yaml': workload, 't.yaml': HOSTS }).diagnostics), [
    'a.yaml:5:11 spec.target: Target "hosts" has hosts, on which a Workload does not run; name one that creates replicas [bad-target]',
  ]);
});

t.test('what did not change is the same object in the next commit', async (t) => {
  const commit = repository();
  const texts = { 'a.yaml': fleet(`size: 1\n${RUN}`), 'b.yaml': fleet('size: 1\nscript: {runFile: b.sh}', 'b') };
  const first = commit(texts, { scripts: { 'b.sh': 'one' } });
  const second = commit(texts, { scripts: { 'b.sh': 'two' } });
  t.equal(second.resources.get('Fleet/web'), first.resources.get('Fleet/web'));
  t.not(second.resources.get('Fleet/b')?.revision, first.resources.get('Fleet/b')?.revision);
  const third = commit({ ...texts, 'a.yaml': fleet(`size: 2\n${RUN}`) }, { scripts: { 'b.sh': 'two' } });
  t.equal(third.resources.get('Fleet/b'), second.resources.get('Fleet/b'));
  t.match(third.resources.get('Fleet/web')?.spec, { members: { size: 2 } });
});
