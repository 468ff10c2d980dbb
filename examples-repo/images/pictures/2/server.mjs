// Draws a picture of anything: /teapot?width=200
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const version = 2;
const { PORT, SLUICE_INSTANCE, SLUICE_MOUNT_INSTANCE } = process.env;

// The script of the fleet writes it into the instance's folder; the last line counts.
function colour() {
  const file = `${SLUICE_MOUNT_INSTANCE}/ink`;
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  return /^[a-z]+/.exec(lines.at(-1) ?? '')?.[0] ?? 'black';
}

// New: a flower in place of a disc.
function shape(ink) {
  const petal = (turn) => `<ellipse cx="50" cy="25" rx="12" ry="20" transform="rotate(${turn} 50 45)"/>`;
  return `<g fill="${ink}">${[0, 60, 120, 180, 240, 300].map(petal).join('')}</g>`;
}

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  if (pathname === '/health') return answer(response, 'text/plain', `${colour()}\n`);
  const width = Math.min(Math.max(Number(searchParams.get('width')) || 200, 16), 2000);
  const name = pathname.slice(1).replace(/[^a-z0-9-]/gi, '') || 'anything';
  console.log(`${name}, ${width} wide`);
  answer(response, 'image/svg+xml', draw(name, width, colour()));
});

function draw(name, width, ink) {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" viewBox="0 0 100 100">
${shape(ink)}
<text x="50" y="95" font-size="12" text-anchor="middle">${name}</text>
<!-- pictures ${version}, drawn in ${ink} by ${SLUICE_INSTANCE} -->
</svg>
`;
}

function answer(response, type, text) {
  response.writeHead(200, { 'content-type': type });
  response.end(text);
}

server.listen(Number(PORT), '127.0.0.1', () => console.log(`pictures ${version} listens`));

// Asked to stop: finish what is being served, take nothing new.
process.on('SIGTERM', () => server.close(() => process.exit(0)));
