/** So much of the API of a cluster as the driver speaks, over real HTTP: objects, versions, watches, patches. Controllers are the test's own. */
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

// biome-ignore lint/suspicious/noExplicitAny: what the API holds is JSON of any shape
export type Json = any;

interface Change {
  version: number;
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  collection: string;
  object: Json;
}

interface Watcher {
  response: ServerResponse;
  collection: string;
  selector: string;
  fields: string;
}

export interface FakeApi {
  url: string;
  /** A kubeconfig with the context `test`. */
  kubeconfig(folder: string): string;
  /** By collection: `/api/v1/namespaces/shop/pods`. */
  list(collection: string): Json[];
  find(path: string): Json;
  /** As some controller does it: `change` alters the object, or makes it. */
  put(path: string, change: (object: Json) => void): Json;
  remove(path: string): void;
  /** Called after each write of a client, with what was written. */
  onWrite(written: (path: string, object: Json) => void): void;
  /** Writes of clients: `POST /apis/apps/v1/namespaces/shop/replicasets`. */
  writes: string[];
  /** The next requests that match are answered so. */
  refuse(method: string, path: RegExp, status: number, message: string, times?: number): void;
  /** Refuses nothing any more. */
  recover(): void;
  /** What is asked there is answered so: text, or an object. */
  answer(path: string, body: Json): void;
  /** Whoever asks whether it may do so is told no; it may do it all the same. */
  forbid(verb: string): void;
  /** The next request that matches is carried out, and its answer lost. */
  lose(method: string, path: RegExp): void;
  /** The next request that matches is looked up now, and answered when it is let go. */
  hold(method: string, path: RegExp): { seen: Promise<void>; go(): void };
  /** Ends all watches; `forget`: what was before cannot be asked for any more. */
  dropWatches(forget?: boolean): void;
  watches(): number;
  close(): Promise<void>;
}

export async function startApi(): Promise<FakeApi> {
  const objects = new Map<string, Json>();
  const changes: Change[] = [];
  const watchers = new Set<Watcher>();
  const writes: string[] = [];
  const refusals: { method: string; path: RegExp; status: number; message: string; times: number }[] = [];
  const answers = new Map<string, Json>();
  const forbidden = new Set<string>();
  const losses: { method: string; path: RegExp }[] = [];
  const held: { method: string; path: RegExp; saw(): void; until: Promise<void> }[] = [];
  let written: (path: string, object: Json) => void = () => {};
  let version = 1000;
  let oldest = 0;

  const collectionOf = (path: string) => path.slice(0, path.lastIndexOf('/'));
  function record(type: Change['type'], path: string, object: Json): void {
    object.metadata.resourceVersion = String(++version);
    const change = { version, type, collection: collectionOf(path), object: structuredClone(object) };
    changes.push(change);
    for (const watcher of watchers) tell(watcher, change);
  }
  const tell = ({ response, collection, selector, fields }: Watcher, change: Change) => {
    if (isIn(collection, change.collection) && selects(selector, change.object) && hasFields(fields, change.object))
      response.write(`${JSON.stringify({ type: change.type, object: change.object })}\n`);
  };
  function store(path: string, object: Json, by: string): Json {
    const before = objects.get(path);
    if (path.includes('/httproutes/')) defaultRoute(object);
    object.metadata.name ??= path.slice(path.lastIndexOf('/') + 1);
    object.metadata.namespace ??= /\/namespaces\/([^/]+)\//.exec(path)?.[1];
    object.metadata.uid ??= randomUUID();
    object.metadata.creationTimestamp ??= new Date().toISOString();
    const changed = before === undefined || JSON.stringify(specOf(before)) !== JSON.stringify(specOf(object));
    object.metadata.generation = (before?.metadata.generation ?? 0) + (changed ? 1 : 0);
    object.metadata.managedFields = [
      { manager: by, operation: 'Update', fieldsV1: { 'f:spec': { filler: 'x'.repeat(200) } } },
    ];
    objects.set(path, object);
    record(before === undefined ? 'ADDED' : 'MODIFIED', path, object);
    return object;
  }
  const specOf = ({ status: _, metadata: __, ...rest }: Json) => rest;
  function remove(path: string): void {
    const object = objects.get(path);
    if (object === undefined) return;
    objects.delete(path);
    record('DELETED', path, object);
    for (const [other, owned] of [...objects])
      if (owned.metadata.ownerReferences?.some(({ uid }: Json) => uid === object.metadata.uid)) remove(other);
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://api');
    const path = url.pathname;
    const method = request.method ?? 'GET';
    let text = '';
    for await (const part of request) text += part;
    const one = held.findIndex((each) => each.method === method && each.path.test(path));
    const hold = one < 0 ? undefined : held.splice(one, 1)[0];
    const send = async (status: number, body: Json) => {
      const text = JSON.stringify(body);
      hold?.saw();
      await hold?.until;
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(text);
    };
    const fail = (status: number, message: string, reason = '') =>
      send(status, { kind: 'Status', code: status, message, reason });
    const refusal = refusals.find((each) => each.method === method && each.path.test(path) && each.times-- > 0);
    if (refusal !== undefined) return fail(refusal.status, refusal.message);
    const fixed = answers.get(path);
    if (typeof fixed === 'string') return void response.end(fixed);
    if (fixed !== undefined) return send(200, fixed);
    const parameter = (name: string) => url.searchParams.get(name) ?? '';
    const selector = parameter('labelSelector');
    const fields = parameter('fieldSelector');
    const isCollection =
      /\/(pods|replicasets|configmaps|secrets|services|httproutes|events|leases|persistentvolumeclaims|horizontalpodautoscalers|nodes|jobs|poddisruptionbudgets|selfsubjectaccessreviews)$/.test(
        path,
      );
    const wrote = (status: number, at: string, object: Json) => {
      writes.push(`${method} ${path}`);
      const lost = losses.findIndex((each) => each.method === method && each.path.test(path));
      if (lost >= 0) {
        losses.splice(lost, 1);
        request.socket.destroy();
      } else send(status, object);
      if (object?.metadata !== undefined) written(at, object);
    };
    if (method === 'GET' && parameter('watch') === 'true') {
      const from = Number(parameter('resourceVersion'));
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      if (from < oldest) {
        const object = { kind: 'Status', code: 410, message: 'too old resource version', reason: 'Expired' };
        response.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
        return;
      }
      const watcher = { response, collection: path, selector, fields };
      for (const change of changes) if (change.version > from) tell(watcher, change);
      watchers.add(watcher);
      response.on('close', () => watchers.delete(watcher));
      return;
    }
    if (method === 'GET' && isCollection) {
      const all = [...objects].filter(
        ([at, object]) => isIn(path, collectionOf(at)) && selects(selector, object) && hasFields(fields, object),
      );
      const start = Number(parameter('continue') || 0);
      const end = start + Number(parameter('limit') || all.length);
      const items = all.slice(start, end).map(([, object]) => object);
      const more = end < all.length ? { continue: String(end) } : {};
      return send(200, { metadata: { resourceVersion: String(version), ...more }, items });
    }
    if (method === 'POST' && isCollection) {
      const object = JSON.parse(text);
      if (path.endsWith('/selfsubjectaccessreviews')) {
        const allowed = !forbidden.has(object.spec.resourceAttributes.verb);
        return send(201, { ...object, status: { allowed } });
      }
      const at = `${path}/${object.metadata.name}`;
      if (parameter('dryRun') !== '') return send(201, object);
      if (objects.has(at)) return fail(409, `${object.metadata.name} already exists`, 'AlreadyExists');
      return wrote(201, at, store(at, object, parameter('fieldManager')));
    }
    if (method === 'POST' && path.endsWith('/eviction')) {
      remove(collectionOf(path));
      return wrote(201, path, JSON.parse(text));
    }
    if (method === 'GET' && path.endsWith('/log')) {
      response.writeHead(200, { 'content-type': 'text/plain' });
      response.end(`${parameter('container')} of ${path.split('/').at(-2)} wrote this\n`);
      return;
    }
    const set = path.endsWith('/scale') ? objects.get(collectionOf(path)) : undefined;
    if (set !== undefined) {
      if (method === 'GET') return send(200, { spec: { replicas: set.spec.replicas } });
      const scaled = { ...set, spec: { ...set.spec, replicas: JSON.parse(text).spec.replicas } };
      return wrote(200, collectionOf(path), store(collectionOf(path), scaled, 'client'));
    }
    const before = objects.get(path);
    const isOther = ({ resourceVersion, uid }: Json = {}) =>
      (resourceVersion ?? before?.metadata.resourceVersion) !== before?.metadata.resourceVersion ||
      (uid ?? before?.metadata.uid) !== before?.metadata.uid;
    const conflict = () => fail(409, 'it was changed', 'Conflict');
    if (method === 'PATCH' && request.headers['content-type'] === 'application/apply-patch+yaml') {
      const applied = JSON.parse(text);
      if (isOther(applied.metadata)) return conflict();
      return wrote(200, path, store(path, merged(structuredClone(before), applied), parameter('fieldManager')));
    }
    if (before === undefined) return fail(404, `${path} not found`, 'NotFound');
    if (method === 'GET') return send(200, before);
    if (method === 'DELETE') {
      if (text !== '' && isOther(JSON.parse(text).preconditions)) return conflict();
      remove(path);
      return wrote(200, path, {});
    }
    if (method === 'PUT') {
      const object = JSON.parse(text);
      if (isOther(object.metadata)) return conflict();
      return wrote(200, path, store(path, object, 'client'));
    }
    if (method === 'PATCH' && request.headers['content-type'] === 'application/merge-patch+json') {
      const patch = JSON.parse(text);
      if (isOther(patch.metadata)) return conflict();
      return wrote(200, path, store(path, merged(structuredClone(before), patch), 'client'));
    }
    if (method === 'PATCH') {
      const patched = jsonPatched(structuredClone(before), JSON.parse(text));
      if (patched === undefined)
        return fail(422, 'the server rejected our request due to an error in our request', 'Invalid');
      return wrote(200, path, store(path, patched, 'client'));
    }
    fail(405, method);
  }

  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    kubeconfig(folder) {
      const file = join(folder, 'kubeconfig');
      const cluster = { server: url, 'insecure-skip-tls-verify': true };
      const context = { cluster: 'test', user: 'test' };
      writeFileSync(
        file,
        JSON.stringify({
          ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'other' },
          clusters: [{ name: 'test', cluster }],
          users: [{ name: 'test', user: { token: 'secret' } }],
          contexts: [{ name: 'test', context }],
        }),
      );
      return file;
    },
    list: (collection) =>
      [...objects].filter(([path]) => collectionOf(path) === collection).map(([, object]) => object),
    find: (path) => objects.get(path),
    put(path, change) {
      const object = structuredClone(objects.get(path)) ?? { metadata: {} };
      change(object);
      return store(path, object, 'controller');
    },
    remove,
    onWrite(listener) {
      written = listener;
    },
    writes,
    forbid: (verb) => void forbidden.add(verb),
    recover: () => void refusals.splice(0),
    answer: (path, body) => void answers.set(path, body),
    refuse: (method, path, status, message, times = 1) => void refusals.push({ method, path, status, message, times }),
    hold(method, path) {
      let [saw, go] = [() => {}, () => {}];
      const seen = new Promise<void>((resolve) => {
        saw = resolve;
      });
      const until = new Promise<void>((resolve) => {
        go = resolve;
      });
      held.push({ method, path, saw, until });
      return { seen, go };
    },
    lose: (method, path) => void losses.push({ method, path }),
    dropWatches(forget = false) {
      if (forget) oldest = ++version;
      for (const { response } of watchers) response.destroy();
    },
    watches: () => watchers.size,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What the API adds to a route. */
function defaultRoute({ spec }: Json): void {
  for (const rule of spec?.rules ?? []) {
    rule.matches ??= [{}];
    for (const match of rule.matches) match.path ??= { type: 'PathPrefix', value: '/' };
    for (const backend of rule.backendRefs ?? []) Object.assign(backend, { group: '', kind: 'Service', ...backend });
  }
}

function selects(selector: string, { metadata: { labels = {} } }: Json): boolean {
  return selector.split(',').every((term) => {
    const [name = '', value] = term.split('=');
    return term === '' || (value === undefined ? name in labels : labels[name] === value);
  });
}

/** `/api/v1/pods` holds those of every namespace. */
function isIn(wanted: string, collection: string): boolean {
  return collection === wanted || collection.replace(/\/namespaces\/[^/]+(?=\/[^/]+$)/, '') === wanted;
}

/** `spec.nodeName=node-1` */
function hasFields(fields: string, object: Json): boolean {
  const [path = '', value] = fields.split('=');
  return path === '' || path.split('.').reduce((at: Json, name) => at?.[name], object) === value;
}

function merged(into: Json, from: Json): Json {
  if (typeof from !== 'object' || from === null || Array.isArray(from) || typeof into !== 'object') return from;
  const result = { ...into };
  for (const [name, value] of Object.entries(from)) {
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value);
  }
  return result;
}

/** Undefined where a test does not hold. */
function jsonPatched(object: Json, operations: { op: string; path: string; value?: Json }[]): Json | undefined {
  for (const { op, path, value } of operations) {
    const parts = path
      .split('/')
      .slice(1)
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = parts.pop() ?? '';
    let holder = object;
    for (const part of parts) holder = holder?.[part];
    if (holder === undefined) return undefined;
    if (op === 'test' && JSON.stringify(holder[last]) !== JSON.stringify(value)) return undefined;
    if (op === 'replace' && !(last in holder)) return undefined;
    if (op === 'add' || op === 'replace') holder[last] = value;
    if (op === 'remove') delete holder[last];
  }
  return object;
}
