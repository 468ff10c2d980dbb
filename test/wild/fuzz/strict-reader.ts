/** Reads requests as the strictest of servers: whatever two servers could read differently is wrong. */
const TOKEN = /^[-!#$%&'*+.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const LINE = /^([-!#$%&'*+.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.1$/;

export interface Plain {
  method: string;
  path: string;
  upgrade: boolean;
  body: string;
}

export interface Told {
  /** Whether what follows is no HTTP any more. */
  request(plain: Plain): boolean;
  wrong(what: string): void;
}

interface Framing extends Plain {
  /** Bytes of the body that are left; undefined: chunks follow. */
  left: number | undefined;
}

export function strictReader(told: Told): (chunk: Buffer) => void {
  let text = '';
  let head: Framing | undefined;
  let over = false;

  /** Whether there was anything to take. */
  function step(): boolean {
    if (head === undefined) {
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) return false;
      head = framing(text.slice(0, end));
      text = text.slice(end + 4);
      return true;
    }
    return head.left === undefined ? chunk(head) : known(head, head.left);
  }

  function known(request: Framing, left: number): boolean {
    if (text.length < left) return false;
    request.body = text.slice(0, left);
    text = text.slice(left);
    return done(request);
  }

  function chunk(request: Framing): boolean {
    const end = text.indexOf('\r\n');
    if (end < 0) return false;
    const size = text.slice(0, end);
    if (!/^[0-9a-f]{1,8}$/i.test(size)) throw new Error(`a chunk of ${JSON.stringify(size.slice(0, 60))}`);
    const length = Number.parseInt(size, 16);
    if (text.length < end + 2 + length + 2) return false;
    if (text.slice(end + 2 + length, end + 4 + length) !== '\r\n')
      throw new Error('a chunk that does not end where it says');
    request.body += text.slice(end + 2, end + 2 + length);
    text = text.slice(end + 4 + length);
    return length === 0 ? done(request) : true;
  }

  function done({ method, path, upgrade, body }: Framing): boolean {
    head = undefined;
    over = told.request({ method, path, upgrade, body });
    return true;
  }

  return (bytes) => {
    if (over) return;
    text += bytes.toString('latin1');
    try {
      while (!over && step());
    } catch (error) {
      over = true;
      told.wrong((error as Error).message);
    }
  };
}

function framing(head: string): Framing {
  const [first = '', ...lines] = head.split('\r\n');
  const [, method, path] = LINE.exec(first) ?? [];
  if (method === undefined || path === undefined)
    throw new Error(`the request line ${JSON.stringify(first.slice(0, 80))}`);
  const found = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    const [name, value] = [line.slice(0, colon), line.slice(colon + 1).trim()];
    if (!TOKEN.test(name) || !VALUE.test(value)) throw new Error(`the header ${JSON.stringify(line.slice(0, 80))}`);
    found.set(name.toLowerCase(), [...(found.get(name.toLowerCase()) ?? []), value]);
  }
  const one = (name: string): string | undefined => {
    const values = found.get(name) ?? [];
    if (values.length > 1) throw new Error(`${values.length} headers ${name}: ${values.join(' and ').slice(0, 80)}`);
    return values[0];
  };
  const [host, length, encoding] = [one('host'), one('content-length'), one('transfer-encoding')];
  if (host === undefined) throw new Error('no host');
  if (length !== undefined && encoding !== undefined) throw new Error('a length and an encoding');
  if (length !== undefined && !/^[0-9]{1,15}$/.test(length)) throw new Error(`the length ${JSON.stringify(length)}`);
  if (encoding !== undefined && encoding !== 'chunked') throw new Error(`the encoding ${JSON.stringify(encoding)}`);
  const left = encoding === undefined ? Number(length ?? 0) : undefined;
  return { method, path, upgrade: found.has('upgrade'), left, body: '' };
}
