// Finds things: /?q=tea
import { createServer } from 'node:http';

const version = 1;
const things = ['green tea', 'teapot', 'tea cup', 'coffee', 'coffee cup'];

const find = (text) => things.filter((thing) => thing.includes(text));

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  if (pathname === '/ready') return answer(response, 200, 'ready');
  if (pathname === '/health') return answer(response, 200, 'healthy');
  console.log(`${request.method} ${request.url}`);
  const found = find(searchParams.get('q') ?? '');
  answer(response, 200, [`search ${version}, process ${process.pid}: ${found.length} found`, ...found].join('\n'));
});

function answer(response, status, text) {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${text}\n`);
}

server.listen(Number(process.env.PORT), '127.0.0.1', () => console.log(`search ${version} listens`));

// Asked to stop: finish what is being served, take nothing new.
process.on('SIGTERM', () => server.close(() => process.exit(0)));
