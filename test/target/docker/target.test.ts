import t from 'tap';
import { ready, served, start, stop, told, unitOf, unitWhere, until, WEB } from '../local/fixtures.ts';
import { startEngine, whyNoEngine } from './engine.ts';
import { dockerPlace, pod, SERVER } from './fixtures.ts';

const missing = whyNoEngine();
if (missing !== undefined) throw new Error(missing);
const engine = await startEngine();
t.teardown(() => engine.end());
await engine.image('web:1', SERVER);

t.test('a server is started, found ready, routed to, found again by the next operator, and stopped', async (t) => {
  const here = dockerPlace(t, engine);
  const first = await here.open();
  await first.declare(WEB, served('web.localhost'));
  const attempt = await start(first, 'web-1', pod());
  t.match(await unitOf(first, 'web-1'), { phase: 'starting', ready: false, attempt });
  const seen = await unitWhere(first, 'web-1', ready);
  t.match(seen, { phase: 'running', restarts: 0, revision: 'aaaaaaaaaa', version: '' });
  const { env } = await told(seen.address);
  t.equal(env.SLUICE_ATTEMPT, attempt);
  await until(() => here.router.config.routes[WEB]?.versions['']?.length === 1);
  const tellings = here.router.told.length;
  await first.close();

  const second = await here.open();
  const again = await unitOf(second, 'web-1');
  t.strictSame(again, seen, 'the same unit, still ready');
  t.equal(here.router.told.length, tellings, 'the router was told nothing anew');
  t.strictSame(await second.resources(), [WEB]);
  await stop(second, 'web-1');
  t.match(await unitOf(second, 'web-1'), { phase: 'stopping', ready: false });
  await until(async () => (await unitOf(second, 'web-1')) === undefined);
  t.strictSame(await engine.docker.listContainers({ all: true }), []);
  await until(() => here.router.config.routes[WEB]?.versions[''] === undefined);
});
