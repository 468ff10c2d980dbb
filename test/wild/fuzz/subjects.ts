/** What is read from outside, with inputs for it and what must hold of each. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { GitError } from '../../../src/git/errors.ts';
import { parseCommit, parseTree } from '../../../src/git/object-format.ts';
import { packets, sideBand } from '../../../src/git/pkt-line.ts';
import { parseFile } from '../../../src/manifest/parse.ts';
import { parseImage } from '../../../src/manifest/parse-image.ts';
import { compile, explain } from '../../../src/plan/route.ts';
import { apply } from '../../../src/rollout/apply.ts';
import { decide } from '../../../src/rollout/decide.ts';
import { fromDocument, toDocument } from '../../../src/status/document.ts';
import { health } from '../../../src/status/health.ts';
import { StatusFileError, toText } from '../../../src/status/text.ts';
import { fromText } from '../../../src/status/yaml.ts';
import { expectedKeys, parseKnownHosts } from '../../../src/target/ssh/known-hosts.ts';
import { oidOf, repository } from '../../manifest/commit.ts';
import { AT, anyLive, anyState, shop, shopLive } from '../../status/examples.ts';
import { fromSchema, schemaOf } from './from-schema.ts';
import { mutated } from './mutate.ts';
import { checkRouter } from './router.ts';
import { talks } from './talks.ts';

export interface Subject {
  inputs: fc.Arbitrary<unknown>;
  /** Throws when it does not hold; an error that the code is meant to give is caught here. */
  check(input: never): void | Promise<void>;
  /** So many inputs wait side by side. */
  atOnce?: number;
}

const subject = <T>(inputs: fc.Arbitrary<T>, check: (input: T) => void | Promise<void>): Subject => ({ inputs, check });

const KINDS = ['workload', 'service', 'fleet', 'cluster', 'target', 'operation', 'config-map'];
const documents = fc.oneof(...KINDS.map((kind) => fromSchema(schemaOf(kind))));
/** `yaml` refuses some values itself (a lone surrogate, a symbol): then there is no such file. */
const asText = (value: unknown): string => {
  try {
    return stringify(value, { aliasDuplicateObjects: false }) ?? '';
  } catch {
    return '';
  }
};
const files = fc.array(documents, { minLength: 1, maxLength: 3 }).map((all) => all.map(asText).join('---\n'));
const images = fromSchema(schemaOf('image')).map(asText);

const SHOP = `apiVersion: sluice/v1
kind: Service
metadata: {name: shop}
spec: {template: {spec: {containers: [{name: web, image: "web:1", ports: [{containerPort: 80}]}]}}}
`;
const SHOP_PARSED = [oidOf(SHOP), parseFile(SHOP)] as const;
const resource = repository()({ 'shop.yaml': SHOP }).resources.get('Service/shop');
if (resource === undefined) throw new Error('the example of a service is not valid');

/** The engine goes on from it, whatever it is. */
function decided<S extends ReturnType<typeof shop>>(from: S): S {
  const declaration = { resource, commit: 'c'.repeat(40), deletionConfirmed: false };
  decide(declaration as never, from, shopLive(), AT, { operatorPaused: false, highestId: 0 });
  return from;
}

const statusText = toText(
  toDocument({
    id: 'Service/shop',
    state: shop(),
    live: shopLive(),
    health: 'Paused',
    message: 'waits',
    host: 'shop.localhost',
  }),
);

/** Each line of a status is a place where somebody may have written something else. */
const editedStatus = fc
  .array(
    fc.tuple(
      fc.nat(statusText.split('\n').length),
      fc.constantFrom('drop', 'twice', 'value'),
      fc.jsonValue({ maxDepth: 1 }),
    ),
    { maxLength: 4 },
  )
  .map((made) => {
    const lines = statusText.split('\n');
    for (const [at, how, value] of made) {
      const line = lines[at] ?? '';
      if (how === 'drop') lines.splice(at, 1);
      else if (how === 'twice') lines.splice(at, 0, line);
      else lines[at] = line.replace(/: .*$/, () => `: ${JSON.stringify(value)}`);
    }
    return lines.join('\n');
  });

const hostNames = fc.oneof(fc.domain(), fc.ipV4(), fc.constantFrom('a'.repeat(250), `${'a'.repeat(250)}b`));
const patterns = fc.oneof(
  fc
    .array(fc.constantFrom('*', '?', 'a', '*a', '!', ',', '.', '[', ']:22', '|1|', 'aaaa', '*a*a*a*a*a*a*a*a*a*a*a'), {
      maxLength: 60,
    })
    .map((parts) => parts.join('')),
  fc.string({ maxLength: 40 }),
);
const knownHosts = fc
  .array(
    fc.tuple(
      fc.constantFrom('', '@revoked ', '@cert-authority ', '#'),
      patterns,
      fc.constantFrom(' ssh-ed25519 ', ' ', ' x '),
      fc.base64String(),
    ),
    { maxLength: 5 },
  )
  .map((lines) => lines.map((parts) => parts.join('')).join('\n'));

const globs = fc
  .array(fc.constantFrom('*', '?', '[', ']', '!', '-', 'a', 'b', '[a-z]', '[!', '\u{1f4a9}'), { maxLength: 40 })
  .map((parts) => parts.join(''));
const urls = fc.oneof(
  fc.webUrl({ withQueryParameters: true }),
  fc
    .array(fc.constantFrom('/?', 'beta=', 'a', '&', '%', '%ff', '#', '+', ';', 'aaaaaaaaaaaaaaaa'), { maxLength: 60 })
    .map((parts) => parts.join('')),
);

export const SUBJECTS: Record<string, Subject> = {
  manifests: subject(fc.oneof(mutated(files), files), (text) => {
    const parsed = parseFile(text);
    for (const { at, message } of parsed.diagnostics) {
      assert.ok(at[0] >= 1 && at[1] >= 1, 'a diagnostic has a place');
      assert.ok(message.length > 0 && message.length < 2000, `its message is of a length to read: ${message.length}`);
      assert.ok(!/\p{Cc}|\.ts:\d/u.test(message), `in one line, without a stack: ${message}`);
    }
    // As one file of a commit, and in the next beside another. What takes long is to read YAML: each text is read once.
    const a = String(text);
    const look = repository(new Map([[oidOf(a), parsed], SHOP_PARSED]));
    look({ 'a.yaml': a, 'shop.yaml': SHOP });
    look({ 'a.yaml': a.length % 4 === 0 ? a.slice(1) : SHOP, 'b.yaml': a });
  }),
  images: subject(fc.oneof(mutated(images), images), (text) => void parseImage(text)),
  statuses: subject(fc.oneof(mutated(fc.constant(statusText)), editedStatus), (text) => {
    let found: ReturnType<typeof shop>;
    try {
      found = fromDocument(fromText('Service/shop', Buffer.from(text))) as ReturnType<typeof shop>;
    } catch (error) {
      assert.ok(error instanceof StatusFileError, `an error for people: ${error}`);
      return;
    }
    const { health: how, message } = health('Service/shop', found, shopLive(), { valid: true });
    const again = toText(toDocument({ id: 'Service/shop', state: found, live: shopLive(), health: how, message }));
    fromText('Service/shop', Buffer.from(again));
    decided(found);
  }),
  operations: subject(fc.tuple(fromSchema(schemaOf('operation')), anyState, anyLive), ([written, state, live]) => {
    const [entry] = parseFile(asText(written)).documents;
    if (entry?.kind !== 'Operation' || entry.declares === undefined) return;
    const operation = { name: entry.name, ...entry.declares, place: { file: 'o.yaml', line: 1, column: 1 } };
    const next = apply(state, { kind: 'operation', operation } as never, resource, live, AT);
    assert.equal(
      apply(next, { kind: 'operation', operation } as never, resource, live, AT),
      next,
      'it is applied once',
    );
  }),
  hosts: subject(
    fc.tuple(fc.oneof(knownHosts, mutated(knownHosts).map(String)), hostNames, fc.uint8Array({ maxLength: 60 })),
    ([text, name, key]) => {
      const { verify } = expectedKeys(parseKnownHosts(text), 'known_hosts', name, 22);
      assert.ok(typeof verify(Buffer.from(key)).ok === 'boolean');
    },
  ),
  routes: subject(
    fc.tuple(fc.array(fc.dictionary(fc.constantFrom('beta', 'a', ''), globs, { maxKeys: 3 }), { maxLength: 4 }), urls),
    ([rules, url]) => {
      const policy = { kind: 'match', rules: rules.map((query) => ({ version: 'v2', query })), default: 'v1' } as const;
      assert.match(compile(policy as never)(url, 0.5), /^v[12]$/);
      explain(policy as never, url);
    },
  ),
  objects: subject(
    fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map(Buffer.from),
      mutated(
        fc.constantFrom(
          '0032want \n0000',
          '100644 a\0'.padEnd(40, 'x'),
          `tree ${'a'.repeat(40)}\nparent x\n\nm`,
          '0006\x01a0006\x03b0001',
        ),
      ),
    ),
    (bytes) => {
      const reads = [
        () => sideBand(packets(bytes, 'here'), 'here'),
        () => parseTree('a'.repeat(40), bytes),
        () => parseCommit('a'.repeat(40), bytes),
      ];
      for (const read of reads) {
        try {
          read();
        } catch (error) {
          assert.ok(error instanceof GitError, `an error for people: ${error}`);
        }
      }
    },
  ),
  // Most of its time it waits for a client to give up.
  router: { ...subject(talks, checkRouter), atOnce: 8 },
};
