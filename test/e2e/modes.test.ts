import { lstatSync, readdirSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import t from 'tap';
import { clean, cli, image, place, settled, workload } from './support.ts';

/** Everything below a folder that somebody else than its owner may write to, or, where `secret`, may read. */
function open(root: string, secret: (path: string) => boolean): string[] {
  const found: string[] = [];
  const look = (path: string) => {
    const { mode } = lstatSync(path);
    const type = mode & 0o170000;
    const name = relative(root, path);
    if (type !== 0o120000) {
      if ((mode & 0o022) !== 0) found.push(`${name}: ${(mode & 0o777).toString(8)} may be written to`);
      if (secret(name) && (mode & 0o044) !== 0) found.push(`${name}: ${(mode & 0o777).toString(8)} may be read`);
    }
    if (type === 0o040000) for (const entry of readdirSync(path)) look(join(path, entry));
  };
  look(root);
  return found;
}

t.test(
  'whatever the umask is, nobody else writes to what the operator keeps, nor reads what is not theirs',
  async (t) => {
    const volume = `      volumes: [{name: certs, secret: {secretName: certs}}, {name: data, disk: {size: 1Mi}}]
`;
    const text = workload('a', 'hello:1', 1).replace('    spec:\n', `    spec:\n${volume}`);
    const mounted = text.replace(
      'containerPort: 8080}]}',
      'containerPort: 8080}], volumeMounts: [{name: certs, mountPath: /certs}]}',
    );
    const at = await place({ 'a.yaml': mounted, ...image('hello', '1') });
    t.teardown(() => clean(at));
    const secrets = join(at.root, 'secrets');
    await mkdir(join(secrets, 'certs'), { recursive: true });
    await writeFile(join(secrets, 'certs/key'), 'x', { mode: 0o600 });
    const bare = `import process from 'node:process'; process.umask(0);`;
    const running = cli(
      [
        ...['run', '--repo', at.repo, '--state-dir', at.state, '--data-dir', at.data, '--secrets-dir', secrets],
        ...['--router', `127.0.0.1:${at.port}`],
      ],
      at.repo,
      { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(bare)}` },
    );
    t.teardown(() => running.process.kill());
    await settled(at, 'Workload/a', 1);
    t.same(
      readdirSync(at.state).map((name) => lstatSync(join(at.state, name)).mode & 0o777),
      [0o700],
      'what was fetched is for its user alone',
    );
    t.same(
      open(at.state, () => false),
      [],
      'the state folder',
    );
    const own = (name: string) => /unit\.json|runnable\.json|\/certs|router|socket|routes/.test(name);
    t.same(open(at.data, own), [], 'the data folder');
  },
);
