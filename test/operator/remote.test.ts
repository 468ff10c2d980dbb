/** The status branch as two operators, hooks and people make it difficult. */
import t from 'tap';
import { takeLease } from '../../src/git/lease.ts';
import { openStatusRemote } from '../../src/operator/remote.ts';
import { STATUS_REF } from '../../src/status/names.ts';
import { createRemote, emptyDisk, openSimulatedClone, type Remote } from '../simulation/git.ts';
import { createProcess } from '../simulation/process.ts';
import { createRandom } from '../simulation/random.ts';
import { createTimeline } from '../simulation/timeline.ts';

const HEAD = 'c'.repeat(40);
const signal = new AbortController().signal;

async function operator(remote: Remote, epoch: number, disk = emptyDisk()) {
  const timeline = createTimeline(1_000_000);
  const random = createRandom(epoch);
  const process = createProcess(timeline, random);
  const clone = openSimulatedClone(remote, disk, process, timeline, random);
  const opened = await openStatusRemote({
    ...{ clone, clock: process.clock, reachable: true, epoch, author: { name: 'Sluice', email: 's@localhost' } },
    ...{ head: () => HEAD, resourceAt: async () => undefined, log() {}, signal },
  });
  let heads = 0;
  /** Writes another head, which is a change of STATUS.md. */
  const push = () => {
    heads++;
    return pushSame();
  };
  const pushSame = () =>
    opened.remote.push(opened.remote.prepare([], { commit: `${heads}`.padStart(40, '0'), at: 1 }), [], false);
  return { ...opened.remote, push, pushSame, send: opened.remote.push, objects: clone.objects, clone };
}

const refused = async (pushing: Promise<unknown>): Promise<unknown> =>
  pushing.then(
    () => undefined,
    (error: unknown) => error,
  );

t.test('what an earlier operator still pushes is refused as soon as a later one has started', async (t) => {
  const remote = createRemote(createTimeline(1_000_000));
  const first = await operator(remote, 1);
  await first.push();
  await operator(remote, 2);
  t.match(await refused(first.push()), { code: 'push-rejected' });
});

t.test(
  'an operator that reads the branch anew while a later one takes over sees that one, and writes nothing over it',
  async (t) => {
    const remote = createRemote(createTimeline(1_000_000));
    const first = await operator(remote, 1);
    await takeLease(first.clone, 'first', 1, signal);
    await first.push();
    remote.faults.refuse = 1;
    const rejected = await refused(first.push());
    const { refs } = first.clone.transport;
    let takesOver: (() => Promise<void>) | undefined = async () => {
      takesOver = undefined;
      const second = await operator(remote, 2);
      await takeLease(second.clone, 'second', 1, signal);
      await operator(remote, 2);
    };
    Object.assign(first.clone.transport, {
      refs: async (...asked: Parameters<typeof refs>) => {
        await takesOver?.();
        return refs(...asked);
      },
    });
    t.match(await first.afterFailure(rejected), { kind: 'taken-over', message: /second/ });
    const tip = remote.refs.get(STATUS_REF);
    t.match(await refused(first.push()), { code: 'failed' });
    t.equal(remote.refs.get(STATUS_REF), tip);
  },
);

t.test('an operator sees that another goes on from its own state folder, which took no lease', async (t) => {
  const remote = createRemote(createTimeline(1_000_000));
  const disk = emptyDisk();
  const first = await operator(remote, 1, disk);
  await first.push();
  disk.notes.set('held-epoch', '1.001\n');
  const second = await operator(remote, 1.001, disk);
  await second.push();
  const rejected = await refused(first.push());
  t.match(await first.afterFailure(rejected), {
    kind: 'taken-over',
    message: /with the same state folder, epoch 1.001/,
  });
});

t.test(
  'what somebody waited for in vain does not come with a later push, since it may be decided otherwise by then',
  async (t) => {
    const remote = createRemote(createTimeline(1_000_000));
    const { push, prepare, ...first } = await operator(remote, 1);
    await push();
    const before = remote.refs.get(STATUS_REF);
    const tip = await first.objects.writeBlob(Buffer.from('what is tagged'));
    const of = (name: string) => ({ ref: `refs/tags/sluice/workload/web/${name}`, make: async () => tip });
    const write = () => prepare([], { commit: '9'.repeat(40), at: 1 });
    remote.faults.downUntil = Number.POSITIVE_INFINITY;
    t.match(await refused(first.send(write(), [of('1')], false)), { code: 'unreachable' });
    t.match(await refused(first.send(write(), [of('2')], true)), { code: 'unreachable' });
    remote.faults.downUntil = 0;
    t.equal(await push(), true);
    t.same(
      [...remote.refs.keys()].filter((ref) => ref.startsWith('refs/tags/')),
      [],
      'neither, nor what went with it',
    );
    t.match(remote.objects.get(remote.refs.get(STATUS_REF) ?? '')?.content.toString(), `parent ${before}\n`);
    t.equal(await first.send(undefined, [of('2')], false), true, 'asked for again it is pushed');
    t.equal(remote.refs.get('refs/tags/sluice/workload/web/2'), tip);

    remote.faults.downUntil = Number.POSITIVE_INFINITY;
    await refused(first.send(undefined, [of('3')], false));
    remote.faults.downUntil = 0;
    await push();
    t.equal(remote.refs.get('refs/tags/sluice/workload/web/3'), tip, 'what nobody waits for goes with the next one');
  },
);

t.test('a remote that is gone when a rejected push is looked into is asked again', async (t) => {
  const remote = createRemote(createTimeline(1_000_000));
  const first = await operator(remote, 1);
  await first.push();
  remote.force(STATUS_REF, remote.commit(new Map([['STATUS.md', 'mine']]), [remote.refs.get(STATUS_REF) ?? ''], 'x'));
  const rejected = await refused(first.push());
  remote.faults.downUntil = Number.POSITIVE_INFINITY;
  t.match(await refused(first.afterFailure(rejected)), { code: 'unreachable' });
  remote.faults.downUntil = 0;
  const unknown = await refused(first.push());
  t.match(await first.afterFailure(unknown), { kind: 'tampered' }, 'what is there was not written by it');
  t.ok(await first.push());
});

t.test('a hook that refuses a push is no stranger on the branch', async (t) => {
  const remote = createRemote(createTimeline(1_000_000));
  const first = await operator(remote, 1);
  await first.push();
  remote.faults.refuse = 1;
  const rejected = await refused(first.push());
  t.match(rejected, { code: 'push-rejected' });
  t.equal(await first.afterFailure(rejected), undefined);
  t.ok(await first.push());
});

t.test(
  'a push whose answer was lost is looked up: what got through is durable, with all that waited for it',
  async (t) => {
    const remote = createRemote(createTimeline(1_000_000));
    const first = await operator(remote, 1);
    await first.push();
    remote.faults.lose = 1;
    const object = remote.refs.get(STATUS_REF) ?? '';
    const tag = { ref: 'refs/tags/sluice/workload/web/1', make: async () => object };
    t.equal(await first.send(first.prepare([], { commit: '7'.repeat(40), at: 1 }), [tag], true), true);
    t.equal(remote.refs.get(tag.ref), object);
    const tip = remote.refs.get(STATUS_REF);
    t.equal(await first.push(), true, 'the next one goes on from there');
    t.not(remote.refs.get(STATUS_REF), tip);
  },
);

t.test(
  'a push whose answer was lost, and that could not be looked up, is its own when the next one is refused',
  async (t) => {
    const remote = createRemote(createTimeline(1_000_000));
    const first = await operator(remote, 1);
    await first.push();
    remote.faults.lose = 1;
    remote.moved = () => {
      remote.faults.downUntil = Number.POSITIVE_INFINITY;
    };
    t.match(await refused(first.push()), { code: 'timeout' });
    Object.assign(remote.faults, { downUntil: 0, refuse: 2 });
    remote.moved = () => {};
    const rejected = await refused(first.push());
    t.match(rejected, { code: 'push-rejected' });
    t.equal(await first.afterFailure(rejected), undefined);
    t.ok(await first.push());
  },
);

t.test('what a rejected push held is not taken for pushed while the branch is read again', async (t) => {
  const remote = createRemote(createTimeline(1_000_000));
  const first = await operator(remote, 1);
  await first.push();
  remote.faults.refuse = 1;
  const looking = first.afterFailure(await refused(first.push()));
  t.match(await refused(first.pushSame()), { code: 'failed' });
  t.equal(await first.afterFailure(await refused(first.pushSame())), undefined, 'it is read once');
  t.equal(await looking, undefined);
  t.equal(await first.pushSame(), true);
});
