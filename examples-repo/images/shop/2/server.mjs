// The shop window. CURRENCY and GREETING come from the ConfigMap `shop-settings`.
import { createServer } from 'node:http';

const version = 2;
const { CURRENCY = 'EUR', GREETING = 'Hello' } = process.env;
const prices = new Intl.NumberFormat('en', { style: 'currency', currency: CURRENCY });
const offers = [`tea  ${prices.format(3.5)}`, `cups ${prices.format(9)}`, `pots ${prices.format(24)}`];

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://localhost');
  if (pathname === '/ready') return answer(response, 200, 'ready');
  if (pathname === '/health') return answer(response, 200, 'healthy');
  console.log(`${request.method} ${request.url}`);
  answer(response, 200, [`shop ${version}, process ${process.pid}: ${GREETING}`, ...offers].join('\n'));
});

function answer(response, status, text) {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${text}\n`);
}

server.listen(Number(process.env.PORT), '127.0.0.1', () => console.log(`shop ${version} listens`));

// Asked to stop: finish what is being served, take nothing new.
process.on('SIGTERM', () => server.close(() => process.exit(0)));
