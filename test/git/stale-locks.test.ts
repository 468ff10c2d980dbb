import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t from 'tap';
import { openClone } from '../../src/git/clone.ts';
import { setRef } from '../../src/git/refs.ts';
import { trackedRef } from '../../src/git/transport.ts';
import { bareRepository, commitFiles, temporary } from '../support/git-servers.ts';

t.test('locks that a killed operator left in its clone hold nothing up', async (t) => {
  const root = temporary('locks');
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const repo = bareRepository(root);
  commitFiles(repo, { 'a.yaml': 'a: 1\n' });
  const signal = new AbortController().signal;
  const options = { stateDir: join(root, 'state'), repo };

  const first = await openClone(options);
  await first.transport.fetch('refs/heads/main', signal);
  await first.close();
  const ours = 'refs/sluice-internal/good/main';
  const left = [trackedRef('refs/heads/main'), ours].map((ref) => join(first.gitdir, `${ref}.lock`));
  left.push(join(first.gitdir, 'packed-refs.lock'));
  for (const lock of left) {
    mkdirSync(dirname(lock), { recursive: true });
    writeFileSync(lock, '');
  }

  const second = commitFiles(repo, { 'a.yaml': 'a: 2\n' });
  const again = await openClone(options);
  t.teardown(() => again.close());
  for (const lock of left) t.notOk(existsSync(lock), lock);
  t.equal(await again.transport.fetch('refs/heads/main', signal), second);
  await setRef(again.gitdir, ours, second);
});
