/** What the suite needs of a driver: everything else is the same for all. */
import type { Place } from '../e2e/support.ts';

export interface Harness {
  /** As a Target names it: `local`. */
  driver: string;
  /** The `spec` of the Target on which everything runs, in YAML's flow style. */
  target: string;
  /** What the repository holds besides: images, where the driver takes them from there. */
  files: Record<string, string>;
  /** The attempts of a resource that run now, as the target itself tells. */
  running(at: Place, resource: string): Promise<string[]>;
  /** Ends what one attempt runs, as an accident would. */
  kill(at: Place, resource: string, attempt: string): Promise<void>;
  /** Where requests are sent, if not to the embedded router. */
  routed?: number;
  /** The driver has a way to divide traffic. */
  hasTraffic: boolean;
  /** What dies is put back by the target itself: then it is no repair. */
  heals?: true;
  /** What it says of a unit that does not get ready. */
  neverReady?: RegExp;
}

/** The images that the suite names, and the programs in them: `hello:7` and `hello:8` answer with their tag at once. */
export const SERVERS: Record<string, string> = {
  'hello:7': server('7', 0),
  'hello:8': server('8', 0),
  /** It takes its time. */
  'slow:8': server('8', 1200),
  'slow:9': server('9', 1200),
  /** As the nodes of a cluster. */
  'hello:1.1.0': server('1.1.0', 0),
  'hello:1.2.0': server('1.2.0', 0),
  'broken:8': "console.error('Error: no such module');\nprocess.exit(4);\n",
  /** It runs, and never listens. */
  'never:8': "setInterval(() => {}, 1000);\nprocess.on('SIGTERM', () => process.exit(0));\n",
};

function server(answer: string, delay: number): string {
  return `
const http = require('node:http');
const server = http.createServer((request, response) => {
  setTimeout(() => response.end('${answer}'), request.url === '/slow' ? 300 : 0);
});
setTimeout(() => server.listen(process.env.PORT), ${delay});
process.on('SIGTERM', () => server.close(() => process.exit(0)));
`;
}
