import { mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { at, examples, folder } from './cli.ts';

const edit = (file: string, from: string, to: string) => {
  const text = readFileSync(file, 'utf8');
  if (!text.includes(from)) throw new Error(`${file} does not have ${from}`);
  writeFileSync(file, text.replace(from, to));
};

t.test('init makes a repository with one commit on main, whose every manifest is valid', async (t) => {
  const place = await examples(t);
  t.equal(await place.git('log', '--format=%an %s'), 'Ada A shop to start from');
  t.equal(await place.git('branch', '--show-current'), 'main');
  t.equal(await place.git('status', '--porcelain'), '');
  t.match((await place.git('ls-files')).split('\n'), ['.github/workflows/sluice-plan.yaml']);
  const { code, stdout, stderr } = await place.sluice('validate');
  t.same({ code, stdout }, { code: 0, stdout: '' });
  t.match(stderr, '5 resources, nothing wrong');
});

t.test('init works where git knows nobody, into an empty folder, and tells what to do next', async (t) => {
  const home = folder(t);
  const place = at(home, home);
  const { code, stdout } = await place.sluice('init', 'deep/config');
  t.equal(code, 0);
  t.match(stdout, /cd deep\/config\n {2}sluice run .*\n {2}sluice status --watch .*\n {2}\$EDITOR tomcat.yaml/);
  t.match(stdout, /Git does not know you yet.*\n\n {2}git config --global user.name /);
  const config = at(home, join(home, 'deep/config'));
  t.match(await config.git('log', '--format=%ae'), 'sluice@localhost');
  t.equal(statSync(config.repo).mode & 0o055, 0o055 & ~process.umask(), 'others may enter it as they may any folder');
});

t.test('init leaves a folder alone that has something in it', async (t) => {
  const place = await examples(t);
  const { code, stderr } = await at(place.home, place.home).sluice('init', 'config');
  t.equal(code, 2);
  t.match(stderr, /^error: .*config is not empty; name a folder that does not exist yet/);
  t.equal(await place.git('rev-list', '--count', 'HEAD'), '1');
});

t.test('validate names the place of each error in the form that is asked for, and ends with 1', async (t) => {
  const place = await examples(t);
  edit(join(place.repo, 'tomcat.yaml'), 'replicas: 3', 'replicaz: 3');
  edit(join(place.repo, 'shop.yaml'), 'image: shop:1', 'image: shop:9');

  const text = await place.sluice('validate');
  t.equal(text.code, 1);
  const lines = text.stdout.trimEnd().split('\n');
  t.match(lines, [
    /^shop\.yaml:\d+:\d+ spec\.template\.spec\.containers\[0\]\.image: .*shop:9/,
    /^tomcat\.yaml:\d+:\d+ spec\.replicaz: /,
  ]);
  t.match(text.stderr, '2 errors, 3 valid resources');

  const github = await place.sluice('validate', '--format', 'github');
  t.equal(github.code, 1);
  t.match(github.stdout, /^::error file=tomcat\.yaml,line=\d+,col=\d+::spec\.replicaz: /m);

  const json = await place.sluice('validate', '--format', 'json', 'tomcat.yaml');
  t.equal(json.code, 1);
  t.match(JSON.parse(json.stdout), [{ place: { file: 'tomcat.yaml' }, severity: 'error', code: 'unknown-field' }]);
});

t.test('validate looks at what is named only, but knows what lies around it', async (t) => {
  const place = await examples(t);
  edit(join(place.repo, 'tomcat.yaml'), 'replicas: 3', 'replicaz: 3');
  const shop = await place.sluice('validate', 'shop.yaml');
  t.same([shop.code, shop.stdout], [0, ''], 'its ConfigMap and image are found');
  const elsewhere = await at(place.home, place.home).sluice('validate', 'config');
  t.equal(elsewhere.code, 1);
  t.match(elsewhere.stdout, /^config\/tomcat\.yaml:/, 'places are seen from where the command was typed');
});

t.test('validate names links and submodules where a manifest should be, as the operator does', async (t) => {
  const place = await examples(t);
  symlinkSync('shop.yaml', join(place.repo, 'also.yaml'));
  const sub = at(place.home, join(place.repo, 'sub.yaml'));
  mkdirSync(sub.repo);
  await sub.git('init', '--quiet');
  await sub.git('commit', '--quiet', '--allow-empty', '--message', 'other');
  await place.git('add', 'sub.yaml');
  const { code, stdout } = await place.sluice('validate');
  t.equal(code, 1);
  t.match(stdout.trimEnd().split('\n'), [
    /^also\.yaml:1:1: it is a link, which is not followed; commit the manifest itself as a file/,
    /^sub\.yaml:1:1: it is a submodule; commit the manifest itself as a file/,
  ]);
});

t.test('validate leaves alone what Git ignores', async (t) => {
  const place = await examples(t);
  writeFileSync(join(place.repo, '.gitignore'), 'draft.yaml\n');
  writeFileSync(join(place.repo, 'draft.yaml'), 'apiVersion: sluice/v1\nkind: Nonsense\n');
  t.equal((await place.sluice('validate')).code, 0);
  writeFileSync(join(place.repo, '.gitignore'), '');
  t.equal((await place.sluice('validate')).code, 1);
});

t.test(
  'validate counts fleets and clusters, and reads the files of their scripts as a commit would hold them',
  async (t) => {
    const place = await examples(t);
    const write = (file: string, text: string) => writeFileSync(join(place.repo, file), text);
    write(
      'web.yaml',
      'apiVersion: sluice/v1\nkind: Fleet\nmetadata: {name: web}\nspec: {size: 2, script: {runFile: up.sh}}\n',
    );
    const missing = await place.sluice('validate', '--format', 'json');
    t.equal(missing.code, 1);
    t.match(JSON.parse(missing.stdout), [
      { place: { file: 'web.yaml', line: 4 }, path: 'spec.script.runFile', resource: 'Fleet/web', code: 'bad-script' },
    ]);
    t.match(missing.stderr, '1 error, 5 valid resources');

    write('up.sh', 'echo up\n');
    const there = await place.sluice('validate');
    t.same([there.code, there.stdout], [0, '']);
    t.match(there.stderr, '6 resources, nothing wrong');

    write('.gitignore', 'up.sh\n');
    t.match((await place.sluice('validate')).stdout, /there is no file up\.sh in this commit; add it/);
    write('.gitignore', '');
    rmSync(join(place.repo, 'up.sh'));
    symlinkSync('shop.yaml', join(place.repo, 'up.sh'));
    t.match((await place.sluice('validate')).stdout, /up\.sh is a link; commit the script itself/);
  },
);
