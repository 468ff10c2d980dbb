// How many of each thing are left: GET /tea, and at a keeper PUT /tea with a number. Every node has all of it.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

const version = '1.1.0';
const { PORT, SLUICE_INSTANCE: name, SLUICE_MOUNT_INSTANCE: folder, SLUICE_PEERS } = process.env;
const isKeeper = (node) => node.includes('-cp-');

// Lines like stock-cp-1=127.0.0.1:20011, brought up to date as nodes come and go.
const allNodes = () => readFileSync(SLUICE_PEERS, 'utf8').trim().split('\n').map((line) => line.split('='));
const peers = () => allNodes().filter(([node]) => node !== name);

// Of two numbers for a thing the later one counts.
const file = `${folder}/stock.json`;
const stock = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};

function merge(other) {
  const isNewer = ([thing, { at }]) => at > (stock[thing]?.at ?? '');
  const news = Object.entries(other).filter(isNewer);
  if (news.length === 0) return;
  Object.assign(stock, Object.fromEntries(news));
  writeFileSync(`${file}.new`, JSON.stringify(stock));
  renameSync(`${file}.new`, file);
}

const ask = (address, path, options) =>
  fetch(`http://${address}${path}`, { ...options, signal: AbortSignal.timeout(2000) }).catch(() => undefined);

// How many keepers have it then, this one among them.
async function copyToAll(news) {
  const body = JSON.stringify(news);
  const tell = async ([node, address]) => (await ask(address, '/copy', { method: 'POST', body }))?.ok && isKeeper(node);
  const copied = await Promise.all(peers().map(tell));
  return Number(isKeeper(name)) + copied.filter(Boolean).length;
}

async function catchUp() {
  const read = async ([, address]) => (await (await ask(address, '/all.json'))?.json()) ?? {};
  for (const copy of await Promise.all(peers().map(read))) merge(copy);
}

async function put(thing, amount) {
  if (!isKeeper(name)) return [421, 'ask a keeper'];
  if (!Number.isInteger(amount) || amount < 0) return [400, 'not a number'];
  const news = { [thing]: { amount, at: `${new Date().toISOString()} ${name}` } };
  merge(news);
  const keepers = allNodes().filter(([node]) => isKeeper(node)).length;
  const copies = await copyToAll(news);
  if (copies <= keepers / 2) return [503, 'too few keepers answer'];
  return [200, `${thing} ${amount}, kept by ${copies} of ${keepers}`];
}

// New: /?below=5 tells what runs low.
function list(below) {
  const meant = Object.entries(stock).filter(([, { amount }]) => below === null || amount < Number(below));
  return meant.map(([thing, { amount }]) => `${thing} ${amount}`);
}

// Before it is stopped: what it has, others have too.
async function drain() {
  const others = (await copyToAll(stock)) - Number(isKeeper(name));
  return others > 0 ? [200, `${others} other keepers have all of it`] : [503, 'no other keeper answers'];
}

async function answer({ method, url }, body) {
  const { pathname, searchParams } = new URL(url, 'http://localhost');
  const thing = pathname.slice(1);
  if (method === 'PUT') return put(thing, Number(body));
  if (method === 'POST' && thing === 'drain') return drain();
  if (method === 'POST' && thing === 'copy') return [200, merge(JSON.parse(body)) ?? 'copied'];
  if (thing === 'all.json') return [200, JSON.stringify(stock)];
  if (thing === '') return [200, [`stock ${version}, ${name}`, ...list(searchParams.get('below'))].join('\n')];
  return thing in stock ? [200, String(stock[thing].amount)] : [404, `no ${thing}`];
}

const server = createServer(async (request, response) => {
  const [status, said] = await answer(request, await text(request)).catch((error) => [400, error.message]);
  if (request.method === 'PUT') console.log(`PUT ${request.url}: ${status} ${said}`);
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${said}\n`);
});

await catchUp();
server.listen(Number(PORT), '127.0.0.1', async () => {
  // What came while it was not listening yet. From then on it says that it runs this version.
  await catchUp();
  writeFileSync(`${folder}/version`, `${version}\n`);
  console.log(`${name} runs stock ${version} at 127.0.0.1:${PORT}, with ${Object.keys(stock).length} things`);
});

// Asked to stop: finish what is being served, take nothing new.
process.on('SIGTERM', () => server.close(() => process.exit(0)));
