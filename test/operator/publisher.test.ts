import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { GitError } from '../../src/git/errors.ts';
import { createPublisher, type Publication, type PublisherPorts, type RefWish } from '../../src/operator/publisher.ts';
import type { StatusDocument } from '../../src/status/document.ts';

const document = (message: string) => ({ message }) as unknown as StatusDocument;
const publication = (name: string, message: string, refs: RefWish[] = []): Publication => ({
  id: `Workload/${name}`,
  document: () => document(message),
  refs,
});

interface Pushed {
  documents: Record<string, string>;
  refs: string[];
}

/** A remote that takes what it is given, or nothing while `down`. */
function remote(over: Partial<PublisherPorts> = {}) {
  const pushes: Pushed[] = [];
  const state = { down: false, failures: 0 };
  let prepared: Record<string, string> = {};
  const ports: PublisherPorts = {
    clock: { ...systemClock, now: () => 1000 },
    head: () => ({ commit: 'c', at: 0 }),
    prepare(changes) {
      prepared = Object.fromEntries(changes.map(({ id, document }) => [id, document()?.message ?? 'gone']));
      return { files: new Map(), message: '', committed() {} };
    },
    async push(_write, refs) {
      if (state.down) throw new Error('down');
      pushes.push({ documents: prepared, refs: refs.map(({ ref }) => ref) });
      return true;
    },
    failed() {
      state.failures++;
    },
    intervalMs: 0,
    ...over,
  };
  return { pushes, state, publisher: createPublisher(ports) };
}

t.test('what comes together goes in one push, the newest of each resource', async (t) => {
  const { pushes, publisher } = remote();
  publisher.gather(publication('a', 'old'));
  publisher.gather(publication('a', 'new'));
  publisher.gather(publication('b', 'only'));
  await publisher.flush();
  t.same(
    pushes.map((push) => push.documents),
    [{ 'Workload/a': 'new', 'Workload/b': 'only' }],
  );
});

t.test('a document that is superseded before the push is never made', async (t) => {
  const { pushes, publisher } = remote();
  const old = {
    ...publication('a', 'old'),
    document: () => {
      throw new Error('is made although a newer one is there');
    },
  };
  publisher.gather(old);
  publisher.gather(publication('a', 'new'));
  await publisher.flush();
  t.same(pushes[0]?.documents, { 'Workload/a': 'new' });
});

t.test('what must be first is awaited and takes the gathered along; refs of both go', async (t) => {
  const { pushes, publisher } = remote({ intervalMs: 60_000, clock: { ...systemClock, now: () => 0 } });
  publisher.gather(publication('a', 'gathered', [{ ref: 'x', make: undefined }]));
  await publisher.first(publication('a', 'first', [{ ref: 'y', make: undefined }]));
  t.same(pushes, [{ documents: { 'Workload/a': 'first' }, refs: ['x', 'y'] }]);
});

t.test('gathered pushes keep their distance', async (t) => {
  let now = 0;
  const { pushes, publisher } = remote({ intervalMs: 10_000_000, clock: { ...systemClock, now: () => now } });
  await publisher.first(publication('a', '1'));
  now = 1;
  publisher.gather(publication('a', '2'));
  await new Promise(setImmediate);
  t.equal(pushes.length, 1);
  await publisher.flush();
  t.equal(pushes.length, 2);
});

t.test('a push that fails rejects what was first and keeps what was gathered', async (t) => {
  const { pushes, state, publisher } = remote();
  state.down = true;
  publisher.gather(publication('a', 'gathered'));
  await t.rejects(publisher.first(publication('a', 'first')), { message: 'down' });
  t.equal(state.failures, 1);
  state.down = false;
  await publisher.flush();
  t.same(pushes.at(-1)?.documents, { 'Workload/a': 'gathered' }, 'the decision that was not durable is not told');
});

t.test('a remote that asks to be left alone is left alone', async (t) => {
  const waits: number[] = [];
  const busy = new GitError('busy', 'busy', 45_000);
  const { publisher } = remote({
    clock: {
      ...systemClock,
      now: () => 1000,
      after(ms, work) {
        waits.push(ms);
        return ms > 10_000 ? () => {} : systemClock.after(0, work);
      },
    },
    push: () => Promise.reject(busy),
  });
  publisher.gather(publication('a', '1'));
  await publisher.flush();
  t.same(waits.slice(-1), [45_000]);
  await t.rejects(publisher.first(publication('b', '2')), busy);
  publisher.close();
});

t.test('what could not be pushed at the end keeps no process alive', async (t) => {
  const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
  const before = timers();
  const { state, publisher } = remote();
  state.down = true;
  publisher.gather(publication('a', 'last'));
  await publisher.flush();
  t.equal(timers(), before + 1, 'it would be tried again');
  publisher.close();
  t.equal(timers(), before);
});

t.test('touch writes the head even when no resource changed', async (t) => {
  const { pushes, publisher } = remote();
  publisher.touch();
  await publisher.flush();
  t.equal(pushes.length, 1);
});
