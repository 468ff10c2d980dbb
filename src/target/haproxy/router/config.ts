/** HAProxy's configuration, and the maps beside it, in the folder that it works in. PURE. */
import type { Destination, Server } from './picture.ts';

export const FILES = { config: 'haproxy.cfg', hosts: 'hosts.map', rules: 'rules.map' } as const;

export interface Configured {
  host: string;
  port: number;
  /** Of each slot, of which there is one for a version: its servers. */
  slots: Map<string, Server>[];
}

export const slotName = (slot: number): string => `v${slot}`;

const SLOT_OF_NOTHING = 'nothing';
/** Where a worker that was replaced sends what it still reads on connections that are kept open: to the one that is there now. */
export const ONWARD = 'onward';

/** `percent:v3:20:v1` → one in five to v3. What the frontend makes of it stands in `configText`. */
export function routeText(destination: Destination, slotOf: (version: string) => string): string {
  switch (destination.kind) {
    case 'nothing':
      return `direct:${SLOT_OF_NOTHING}`;
    case 'direct':
      return `direct:${slotOf(destination.version)}`;
    case 'match':
      return `match:${slotOf(destination.version)}`;
    case 'percent':
      return `percent:${slotOf(destination.first)}:${destination.share}:${slotOf(destination.second)}`;
  }
}

/**
 * A host is looked up in a map, whose value says what is done with its requests: so all that ever changes, besides the number of
 * slots, can be changed in a process that runs.
 *
 * One thread: so a server that it has said to be out of service and at rest is, while another thread might just have chosen it.
 * Connections to containers are not kept: none can be closed by a container while a request is on its way. How long an
 * answer takes is between client and container.
 */
export function configText({ host, port, slots }: Configured): string {
  const address = host.includes(':') ? `[${host}]` : host;
  const refuse = (status: number, text: string, more = '') =>
    `http-request return status ${status} content-type text/plain${more} string "${text}\\n"`;
  const lines = [
    '# Written by Sluice, and written anew: what is changed here is lost.',
    ...['global', '  nbthread 1', '  noreuseport', '  log stderr format raw local0 err'],
    ...['defaults base', '  mode http', '  option http-server-close', '  option idle-close-on-response'],
    ...['  option redispatch 1', '  retries 3', '  timeout connect 5s', '  timeout http-request 15s'],
    ...['  timeout http-keep-alive 75s', '  timeout client 24d', '  timeout server 24d', '  timeout tunnel 24d'],
    ...['frontend front from base', `  bind ${address}:${port}`, `  bind unix@onward.sock accept-proxy`],
    `  ${refuse(400, 'the request must name one host and a path on it')} unless { req.fhdr_cnt(host) 1 }`,
    '  http-request set-var(txn.host) req.fhdr(host),host_only,lower,rtrim(.)',
    `  http-request set-var(txn.route) var(txn.host),map_str(${FILES.hosts})`,
    `  ${refuse(404, 'no such host')} unless { var(txn.route) -m found }`,
    '  http-request set-var(txn.slot) var(txn.route),word(2,:)',
    ...percentLines.map((line) => `  ${line} if { var(txn.route) -m beg percent: }`),
    '  http-request set-var(txn.slot) var(txn.route),word(4,:) if { var(txn.point),sub(txn.share) -m int ge 0 }',
    ...matchLines.map((line) => `  ${line} if { var(txn.route) -m beg match: }`),
    '  http-request set-var(txn.slot) var(txn.ruled) if { var(txn.ruled) -m found }',
    '  use_backend %[var(txn.slot)]',
    ...[`backend ${SLOT_OF_NOTHING} from base`],
    `  ${refuse(503, 'nothing is ready to serve this host; try again soon', ' hdr retry-after 1')}`,
    ...[`backend ${ONWARD} from base`, `  server self unix@onward.sock send-proxy-v2`],
    ...['defaults slots from base', '  balance roundrobin'],
    ...['for', 'host', 'proto'].map(
      (name) => `  http-request del-header x-forwarded-${name} unless { src 127.0.0.0/8 ::1 }`,
    ),
    '  http-request add-header x-forwarded-for %[src]',
    '  http-request set-header x-forwarded-host %[req.hdr(host)] unless { req.hdr(x-forwarded-host) -m found }',
    '  http-request set-header x-forwarded-proto http unless { req.hdr(x-forwarded-proto) -m found }',
    ...slots.flatMap((servers, slot) => [
      `backend ${slotName(slot)} from slots`,
      ...[...servers].map(([name, { address, weight }]) => `  server ${name} ${address} weight ${weight}`),
    ]),
  ];
  return `${lines.join('\n')}\n`;
}

const percentLines = [
  'http-request set-var(txn.point) rand(100)',
  'http-request set-var(txn.share) var(txn.route),word(3,:)',
];

/** See `glob.ts`: a `%` that stands for itself, an `&` and a `=` that were encoded, then all others. */
const matchLines = [
  `http-request set-var(txn.query) "query,regsub('%(?![0-9A-Fa-f]{2})','%25',g),regsub(%26,%01,g),regsub(%3D,%02,gi),url_dec(1)"`,
  'http-request set-var(txn.asked) str(),concat(,txn.host,&),concat(,txn.query,&)',
  `http-request set-var(txn.ruled) var(txn.asked),map_reg(${FILES.rules})`,
];

export const mapText = (entries: Iterable<readonly [key: string, value: string]>): string =>
  [...entries].map(([key, value]) => `${key} ${value}\n`).join('');
