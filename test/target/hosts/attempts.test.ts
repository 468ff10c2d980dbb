import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { type Attempt, openUnitPlace, type UnitPlace } from '../../../src/target/hosts/attempts.ts';
import { localShell, type Shell } from '../../../src/target/hosts/shell.ts';
import type { AttemptView, UnitView } from '../../../src/target/hosts/view.ts';
import { temporary } from '../../support/git-servers.ts';
import { until } from '../../support/until.ts';
import { HOSTILE } from './hostile.ts';

const { signal } = new AbortController();

interface Site {
  root: string;
  folder: string;
  place: UnitPlace;
  at(epoch: number): UnitPlace;
  /** A file of the machine's home. */
  file(name: string): string;
}

/** `programs`: of a folder in front of all others, by their names. */
function site(t: Test, name = 'web-1', programs: Record<string, string> = {}): Site {
  const root = temporary('hosts');
  const bin = join(root, 'programs');
  if (Object.keys(programs).length > 0) mkdirSync(bin);
  for (const [program, text] of Object.entries(programs)) writeFileSync(join(bin, program), text, { mode: 0o755 });
  t.teardown(async () => {
    const folder = join(root, '.sluice', 'Fleet-web', name);
    // What was begun may still be writing its outcome.
    const place = openUnitPlace({ shell: localShell(), folder, epoch: 99, bootIdFile: join(root, 'boot') });
    if (existsSync(folder)) while ((await place.look({ signal, waitSeconds: 5 })).attempts.update?.state === 'running');
    await rm(root, { recursive: true, force: true, maxRetries: 5 });
  });
  const shell = localShell({ env: { PATH: `${bin}:${process.env.PATH}`, HOME: root, USER: 'deploy' } });
  const folder = join(root, '.sluice', 'Fleet-web', name);
  writeFileSync(join(root, 'boot'), 'boot-one\n');
  const at = (epoch: number) =>
    openUnitPlace({ shell, folder: `.sluice/Fleet-web/${name}`, epoch, bootIdFile: join(root, 'boot') });
  const file = (path: string) => (existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : '');
  return { root, folder, place: at(1), at, file };
}

const run = (attempt: string, script: string, over: { revision?: string; rollback?: string } = {}): Attempt => ({
  kind: 'update',
  attempt,
  timeoutSeconds: 60,
  env: { SLUICE_RESOURCE: 'Fleet/web', SLUICE_ROLLOUT: '7' },
  task: {
    revision: over.revision ?? 'r1',
    script: { interpreter: 'sh', run: script, ...(over.rollback !== undefined && { rollback: over.rollback }) },
  },
});
const undo = (attempt: string, ...revisions: string[]): Attempt => ({
  ...run(attempt, ''),
  task: { undo: revisions },
});

/** The outcome, waited for where the attempt runs. */
async function ended(place: UnitPlace, kind: 'update' | 'drain' | 'undrain' = 'update'): Promise<AttemptView> {
  for (;;) {
    const attempt = (await place.look({ signal, waitSeconds: 20 })).attempts[kind];
    if (attempt === undefined) throw new Error('there is no attempt');
    if (attempt.state !== 'running') return attempt;
  }
}

test('where nothing was ever done there is nothing, and a look leaves nothing', async (t) => {
  const { place, root } = site(t);
  const view = await place.look({ signal, details: { certificates: ['/nonexistent/*.crt'] } });
  t.same(
    { ...view, details: undefined },
    { boot: 'boot-one', epoch: 0, applied: [], undoable: [], attempts: {}, details: undefined },
  );
  t.same(view.details?.lacks, []);
  t.ok((view.details?.disk?.freeBytes ?? 0) > 0);
  t.ok((view.details?.memory?.availableBytes ?? 0) > 0);
  t.ok((view.details?.load?.cpus ?? 0) > 0);
  t.ok(Math.abs((view.details?.clock ?? 0) - Date.now() / 1000) < 60);
  t.same(readdirSync(root), ['boot']);
});

test('a script runs with what it is told, and its outcome is kept', async (t) => {
  const { place, file } = site(t);
  const script = 'env > env; umask > umask; echo first; echo last >&2';
  const begun = await place.begin(run('web-1.7.1', script), signal);
  t.equal(begun.attempts.update?.id, 'web-1.7.1');
  t.match(await ended(place), { id: 'web-1.7.1', state: 'succeeded', message: '' });
  const view = await place.look({ signal });
  t.same(view.applied, ['r1']);
  t.equal(view.epoch, 1);
  t.match(file('env'), /^SLUICE_RESOURCE=Fleet\/web$/m);
  t.match(file('env'), /^SLUICE_ROLLOUT=7$/m);
  t.notMatch(file('env'), /LINES|OLDPWD|unit=|SSH/);
  t.not(file('umask').trim(), '0077', "the user's own, not that of the markers");
  t.equal(await place.logs(signal), '==> update-web-1.7.1 <==\nfirst\nlast\n');
});

test('a failure says with which code and what was said last', async (t) => {
  const { place } = site(t);
  await place.begin(run('web-1.7.1', 'echo working; printf "\\033[31mdisk full\\n\\n" >&2; exit 3'), signal);
  t.match(await ended(place), { state: 'failed', message: 'exited with code 3: [31mdisk full' });
});

test('what a shell says of a script names its file, without the folder that only Sluice knows', async (t) => {
  const { place } = site(t);
  await place.begin(run('web-1.7.1', 'echo plum > no/where'), signal);
  t.match((await ended(place))?.message, /^exited with code \d+: script\.sh: .*no\/where/);
});

test('an attempt runs once, however often and from however many at once it is begun', async (t) => {
  const { place, file } = site(t);
  const attempt = run('web-1.7.1', 'echo run >> runs; sleep 0.2');
  await Promise.all(Array.from({ length: 8 }, () => place.begin(attempt, signal)));
  await ended(place);
  await place.begin(attempt, signal);
  await ended(place);
  t.equal(file('runs'), 'run\n');
  t.same((await place.look({ signal })).applied, ['r1']);
});

test('the connection that began it may be killed at any moment: it still runs, and only once', async (t) => {
  for (let ms = 0; ms <= 60; ms += 6) {
    const { place, file } = site(t, `web-${ms}`);
    const attempt = run('web-1.7.1', 'sleep 0.1; echo run >> runs');
    await place.begin(attempt, AbortSignal.timeout(ms)).catch(() => {});
    // Nothing tells whether it came through, so it is asked for again.
    await until('it is begun', async () => {
      const { attempts } = await place.begin(attempt, signal);
      return attempts.update !== undefined;
    });
    t.match(await ended(place), { state: 'succeeded' }, `cut after ${ms} ms`);
    t.equal(file('runs'), 'run\n');
  }
});

test('where it was recorded but nothing ran yet, it is begun by who asks again', async (t) => {
  const { place, folder, file } = site(t);
  await place.begin(run('web-1.7.1', 'echo run >> runs'), signal);
  await ended(place);
  t.match(await place.logs(signal), /update-web-1\.7\.1/, 'all that it printed lies in its file');
  const own = join(folder, 'attempts', 'update-web-1.7.1');
  for (const made of ['claim', 'process', 'outcome', 'output', 'output.end', 'flushed'])
    rmSync(join(own, made), { recursive: true });
  writeFileSync(join(folder, 'last-update'), 'web-1.7.1 boot-zero 5 60 sh\n');
  t.equal((await place.look({ signal })).attempts.update, undefined, 'it is as if it had not been asked for');
  await place.begin(run('web-1.7.1', 'echo run >> runs'), signal);
  t.match(await ended(place), { state: 'succeeded' });
  t.equal(file('runs'), 'run\nrun\n');
});

test('while one attempt runs, another is refused', async (t) => {
  const { place, root } = site(t);
  await place.begin(run('web-1.7.1', 'until [ -f go ]; do sleep 0.02; done'), signal);
  await t.rejects(place.begin(run('web-1.7.2', 'true'), signal), /update web-1.7.1 still runs/);
  t.match((await place.look({ signal })).attempts.update, { id: 'web-1.7.1', state: 'running' });
  writeFileSync(join(root, 'go'), '');
  await ended(place);
  await place.begin(run('web-1.7.2', 'true'), signal);
  t.match(await ended(place), { id: 'web-1.7.2', state: 'succeeded' });
});

test('a lower epoch is refused in everything, a higher one takes over', async (t) => {
  const { at, file } = site(t);
  await at(5).takeOut({ attempt: 'web-1.7.1', cordon: false }, signal);
  await t.rejects(at(4).takeOut({ attempt: 'web-1.7.1', cordon: false }, signal), /later operator/);
  await t.rejects(at(4).putBack({ cordoned: false }, signal), /later operator/);
  await t.rejects(at(4).begin(run('web-1.7.1', 'echo run >> runs'), signal), /later operator/);
  t.equal(file('runs'), '');
  t.equal((await at(4).look({ signal })).out?.attempt, 'web-1.7.1', 'to look is free');
  t.equal((await at(9).begin(run('web-1.7.1', 'true'), signal)).epoch, 9);
  t.equal((await at(10).look({ signal })).epoch, 10, 'by a look too');
  await t.rejects(at(9).begin(run('web-1.7.2', 'echo run >> runs'), signal), /epoch 9, .* epoch 10: a later operator/);
  await t.rejects(at(9).check(signal), /later operator/);
  await at(10).check(signal);
  for (const [earlier, later] of [
    [10, 10.001],
    [10.009, 10.01],
    [10.999, 11],
  ] as const) {
    t.equal((await at(later).look({ signal })).epoch, later);
    await t.rejects(at(earlier).putBack({ cordoned: false }, signal), /later operator/);
    await at(later).putBack({ cordoned: false }, signal);
  }
  t.equal(file('runs'), '');
});

test('its own timeout ends a script with all that it started', async (t) => {
  const { place, file } = site(t);
  const script = 'sh -c "echo \\$\\$ > child; sleep 600; true"; true';
  await place.begin({ ...run('web-1.7.1', script), timeoutSeconds: 1 }, signal);
  t.match(await ended(place), { state: 'failed', message: 'was ended after its timeout of 1 s' });
  const child = file('child').trim();
  t.not(child, '');
  await until(
    'it is gone',
    () => !existsSync(`/proc/${child}`) || / Z /.test(readFileSync(`/proc/${child}/stat`, 'utf8')),
  );
});

test('a machine that was started anew while it ran leaves the outcome unknown; it is not run again', async (t) => {
  const { place, root, folder, file } = site(t);
  await place.begin(run('web-1.7.1', 'echo run >> runs; exec timeout 60 sleep 60'), signal);
  await until('it runs', () => file('runs') !== '');
  writeFileSync(join(root, 'boot'), 'boot-two\n');
  t.match((await place.look({ signal })).attempts.update, { state: 'unknown', message: /started anew/ });
  const again = await place.begin(run('web-1.7.1', 'echo run >> runs'), signal);
  t.match(again.attempts.update, { state: 'unknown' });
  t.same(again.applied, ['r1'], 'its run began, so it counts as applied');
  t.equal(file('runs'), 'run\n');
  writeFileSync(join(root, 'boot'), 'boot-one\n');
  killGroup(folder);
});

test('a runner that was killed leaves the outcome unknown; it is not run again', async (t) => {
  const { place, folder, file } = site(t);
  await place.begin(run('web-1.7.1', 'echo $$ >> runs; exec sleep 600'), signal);
  await until('it runs', () => file('runs') !== '');
  killGroup(folder);
  t.match((await place.look({ signal, waitSeconds: 20 })).attempts.update, { state: 'unknown', message: /killed/ });
  await place.begin(run('web-1.7.1', 'echo $$ >> runs'), signal);
  t.equal(file('runs').trim().split('\n').length, 1);
  process.kill(Number(file('runs')), 'SIGKILL');
});

function killGroup(folder: string): void {
  const [pid] = readFileSync(join(folder, 'attempts/update-web-1.7.1/process'), 'utf8').split(' ');
  process.kill(Number(pid), 'SIGKILL');
}

test('undoing runs what was stored, first of them first, and pops each; each script is told its revision', async (t) => {
  const { place, file } = site(t);
  for (const revision of ['r1', 'r2', 'r3']) {
    const rollback = 'echo "undo $SLUICE_REVISION" >> acts';
    await place.begin(
      run(`web-1.${revision}.1`, 'echo "run $SLUICE_REVISION" >> acts', { revision, rollback }),
      signal,
    );
    await ended(place);
  }
  t.same((await place.look({ signal })).undoable, ['r1', 'r2', 'r3']);
  await place.begin(undo('web-1.9.1', 'r3', 'r2'), signal);
  t.match(await ended(place), { state: 'succeeded', message: '' });
  t.equal(file('acts'), 'run r1\nrun r2\nrun r3\nundo r3\nundo r2\n');
  const view = await place.look({ signal });
  t.same(view.applied, ['r1']);
  t.same(view.undoable, ['r1']);
});

test('an undo that fails pops nothing more, and another try goes on from there', async (t) => {
  const { place, root, file } = site(t);
  await place.begin(run('web-1.1.1', 'true', { revision: 'r1' }), signal);
  await ended(place);
  const rollback = '[ -f mended ] || { echo broken >&2; exit 4; }; echo undo r2 >> acts';
  await place.begin(run('web-1.2.1', 'true', { revision: 'r2', rollback }), signal);
  await ended(place);
  await place.begin(run('web-1.3.1', 'true', { revision: 'r3', rollback: 'echo undo r3 >> acts' }), signal);
  await ended(place);
  await place.begin(undo('web-1.4.1', 'r3', 'r2'), signal);
  t.match(await ended(place), { state: 'failed', message: 'exited with code 4: broken' });
  t.same((await place.look({ signal })).applied, ['r1', 'r2']);
  writeFileSync(join(root, 'mended'), '');
  await place.begin(undo('web-1.4.2', 'r3', 'r2'), signal);
  t.match(await ended(place), { state: 'succeeded', message: /r3 is not on top/ });
  t.equal(file('acts'), 'undo r3\nundo r2\n');
  t.same((await place.look({ signal })).applied, ['r1']);
});

test('a revision without a rollback script is popped, and the message says so', async (t) => {
  const { place } = site(t);
  await place.begin(run('web-1.1.1', 'true', { revision: 'r1' }), signal);
  await ended(place);
  await place.begin(undo('web-1.2.1', 'r1'), signal);
  t.match(await ended(place), { state: 'succeeded', message: /r1 has no rollback script here/ });
  t.same((await place.look({ signal })).applied, []);
});

test('what it prints is kept in part, however much it is, and does not hold it up', async (t) => {
  const { place, folder } = site(t);
  const script = 'echo the first; head -c 50000000 /dev/zero | tr "\\0" x; echo; echo the last';
  await place.begin(run('web-1.7.1', script), signal);
  t.match(await ended(place), { state: 'succeeded' });
  const own = join(folder, 'attempts/update-web-1.7.1');
  t.ok(readFileSync(join(own, 'output')).length <= 524_288);
  t.ok(readFileSync(join(own, 'output.end')).length <= 65_536);
  const logs = await place.logs(signal);
  t.match(logs, /^the first$/m);
  t.match(logs, /^the last$/m);
});

test('a service that a script leaves running does not keep the attempt running', async (t) => {
  const { place, file } = site(t);
  await place.begin(run('web-1.7.1', 'sleep 600 & echo $! > service'), signal);
  t.match(await ended(place), { state: 'succeeded' });
  process.kill(Number(file('service')), 'SIGKILL');
});

test('values are never read by a shell, wherever they stand', async (t) => {
  const { at, root } = site(t);
  for (const [index, value] of HOSTILE.entries()) {
    const place = at(1);
    const attempt: Attempt = {
      kind: 'drain',
      attempt: `web-1.${index}.1`,
      timeoutSeconds: 60,
      env: { SLUICE_TEXT: value },
      task: { command: ['sh', '-c', 'printf "%s\\0%s" "$SLUICE_TEXT" "$1" > got', 'sh', value] },
    };
    await place.begin(attempt, signal);
    t.match(await ended(place, 'drain'), { state: 'succeeded' });
    t.same(readFileSync(join(root, 'got'), 'utf8').split('\0'), [value, value]);
    const version = (await place.look({ signal, versionCommand: ['printf', '%s', value] })).version;
    t.equal(version?.ok, true);
    const marked = await place.takeOut({ attempt: `web-1.${index}.1`, weights: `b=${index}`, cordon: false }, signal);
    t.equal(marked.weights, 'b=0', 'the first ones stay');
  }
  t.notOk(existsSync(join(root, 'pwned')));
  await t.rejects(openHostile(root, '../../x'), /cannot name/);
  await t.rejects(openHostile(root, '$(touch pwned)'), /cannot name/);
});

const openHostile = async (root: string, attempt: string): Promise<UnitView> =>
  openUnitPlace({ shell: localShell(), folder: join(root, 'x'), epoch: 1 }).begin(run(attempt, 'true'), signal);

test('a folder with white space and quotes in its name is as good as any', async (t) => {
  const { root } = site(t);
  const shell = localShell();
  const folder = join(root, `it's "a" $(folder)\\n`);
  const place = openUnitPlace({ shell, folder, epoch: 1 });
  await place.begin({ ...run('web-1.7.1', 'pwd > "$0.pwd"'), cwd: root }, signal);
  t.match(await ended(place), { state: 'succeeded' });
  t.equal(readFileSync(join(folder, 'attempts/update-web-1.7.1/script.sh.pwd'), 'utf8').trim(), root);
});

test('powershell and bat go to the program that the machine has for them', async (t) => {
  const { root } = site(t);
  mkdirSync(join(root, 'bin'));
  for (const program of ['pwsh', 'cmd.exe'])
    writeFileSync(join(root, 'bin', program), `#!/bin/sh\necho ${program} "$@" > used\n`, { mode: 0o755 });
  const shell = localShell({ env: { PATH: `${join(root, 'bin')}:${process.env.PATH}`, HOME: root } });
  const place = openUnitPlace({ shell, folder: join(root, 'unit'), epoch: 1 });
  const { details } = await place.look({ signal, details: { certificates: ['/nonexistent'] } });
  t.same(details?.has, ['pwsh', 'cmd.exe']);
  for (const [interpreter, used] of [
    ['powershell', /^pwsh -NoProfile -NonInteractive -File \S+script\.ps1$/m],
    ['bat', /^cmd\.exe \/c \S+script\.bat$/m],
  ] as const) {
    const attempt = run(`web-1.${interpreter}.1`, 'echo');
    await place.begin({ ...attempt, task: { revision: interpreter, script: { interpreter, run: 'echo' } } }, signal);
    t.match(await ended(place), { state: 'succeeded' });
    t.match(readFileSync(join(root, 'used'), 'utf8'), used);
  }
});

test('marks are made and taken back; a repeated one changes nothing', async (t) => {
  const { place } = site(t);
  const first = await place.takeOut({ attempt: 'web-1.7.1', weights: 'web=100', cordon: true }, signal);
  t.match(first, { out: { attempt: 'web-1.7.1' }, weights: 'web=100', cordoned: 'web-1.7.1' });
  const again = await place.takeOut({ attempt: 'web-1.7.2', weights: 'web=0', cordon: true }, signal);
  t.match(again, { out: { attempt: 'web-1.7.2' }, weights: 'web=100', cordoned: 'web-1.7.2' });
  const left = await place.putBack({ cordoned: true }, signal);
  t.same([left.out, left.weights, left.cordoned], [undefined, undefined, 'web-1.7.2']);
  t.equal((await place.putBack({ cordoned: false }, signal)).cordoned, undefined);
});

test('only some attempts are kept', async (t) => {
  const { place, folder } = site(t);
  for (let n = 1; n <= 14; n++) {
    await place.begin(run(`web-1.${n}.1`, `echo ${n}`), signal);
    await ended(place);
  }
  const kept = readdirSync(join(folder, 'attempts'));
  t.ok(kept.length <= 11, `${kept.length} are kept`);
  t.ok(kept.includes('update-web-1.14.1'));
});

test('a version command that fails, hangs or chatters says so', async (t) => {
  const { place } = site(t);
  const ask = async (text: string) =>
    (await place.look({ signal, versionCommand: ['sh', '-c', text] })).version ?? { ok: false, text: '' };
  t.same(await ask('echo; echo 1.36.3; echo more'), { ok: true, text: '1.36.3' });
  t.same(await ask('echo no such program >&2; exit 127'), { ok: false, text: 'no such program' });
});

test('a machine that answers something else is told of', async (t) => {
  const shell: Shell = { sh: async () => ({ code: 0, stdout: 'This account is not available.\n', stderr: '' }) };
  const place = openUnitPlace({ shell, folder: 'x', epoch: 1 });
  await t.rejects(place.look({ signal }), /something else: This account is not available/);
});

const BUSYBOX_FLOCK = `#!/bin/sh
for word; do case $word in -[!sxnu]*) echo "flock: invalid option -- '\${word#-}'" >&2; exit 1 ;; esac; done
exec /usr/bin/flock "$@"
`;

test('the lock of a unit needs no more of flock than busybox has, and is waited for', async (t) => {
  const { place, folder, file } = site(t, 'web-1', { flock: BUSYBOX_FLOCK });
  await place.begin(run('web-1.1.1', 'echo one >>"$HOME/ran"'), signal);
  t.match(await ended(place), { state: 'succeeded' });
  const held = localShell().sh('exec 9>"$1/lock"; flock 9; echo held >"$1/held"; sleep 1; rm "$1/held"', [folder], {
    ...{ timeoutMs: 30_000, signal },
  });
  while (!existsSync(join(folder, 'held'))) await new Promise((resolve) => setTimeout(resolve, 10));
  await place.begin(run('web-1.1.2', 'echo two >>"$HOME/ran"', { revision: 'r2' }), signal);
  t.notOk(existsSync(join(folder, 'held')), 'nothing was changed while somebody else had it');
  await held;
  t.match(await ended(place), { state: 'succeeded' });
  t.equal(file('ran'), 'one\ntwo\n');
});
