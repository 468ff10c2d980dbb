// Stands in for a real application server: small, but all that an upgrade under load asks of one is here.
import { createServer } from 'node:http';

const version = 7;
const warmUpMs = 1000;
const started = Date.now();

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://localhost');
  if (pathname === '/ready') return answer(response, Date.now() - started < warmUpMs ? 503 : 200, 'ready');
  if (pathname === '/health') return answer(response, 200, 'healthy');
  console.log(`${request.method} ${request.url}`);
  answer(response, 200, `tomcat ${version}, process ${process.pid}`);
});

function answer(response, status, text) {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${text}\n`);
}

server.listen(Number(process.env.PORT), '127.0.0.1', () => console.log(`tomcat ${version} listens`));

// Asked to stop: finish what is being served, take nothing new.
process.on('SIGTERM', () => server.close(() => process.exit(0)));
