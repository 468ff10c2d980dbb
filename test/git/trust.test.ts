import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { openClone } from '../../src/git/clone.ts';
import type { ObjectStore } from '../../src/git/objects.ts';
import { openIsomorphicObjects } from '../../src/git/objects-isomorphic.ts';
import { parseKeys } from '../../src/git/trust/keys.ts';
import { openTrust } from '../../src/git/trust/trust.ts';
import { temporary } from '../support/git-servers.ts';

const root = temporary('trust');
const gnupg = join(root, 'gnupg');
mkdirSync(gnupg, { mode: 0o700 });
const env = {
  PATH: process.env.PATH ?? '',
  HOME: root,
  GNUPGHOME: gnupg,
  LC_ALL: 'C.UTF-8',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'Tester',
  GIT_AUTHOR_EMAIL: 't@example.test',
  GIT_COMMITTER_NAME: 'Tester',
  GIT_COMMITTER_EMAIL: 't@example.test',
};
const run = (program: string, args: string[], input?: string, more: Record<string, string> = {}): string =>
  execFileSync(program, args, { env: { ...env, ...more }, input, cwd: root, stdio: ['pipe', 'pipe', 'pipe'] })
    .toString()
    .trimEnd();
t.teardown(async () => {
  run('gpgconf', ['--kill', 'all']);
  await rm(root, { recursive: true, force: true });
});

/** A private key's path. */
function sshKey(name: string, ...type: string[]): string {
  run('ssh-keygen', ['-q', '-t', ...type, '-N', '', '-C', name, '-f', join(root, name)]);
  return join(root, name);
}
const publicKey = (path: string) => readFileSync(`${path}.pub`, 'utf8').trim();
const fingerprint = (path: string) => run('ssh-keygen', ['-lf', path]).split(' ')[1] ?? '';

/** A user's OpenPGP key: its fingerprint. */
function pgpKey(user: string, expires = '0', more: string[] = []): string {
  const made = run('gpg', [
    ...['--batch', '--pinentry-mode', 'loopback', '--passphrase', '', '--status-fd', '1', ...more],
    ...['--quick-generate-key', user, 'ed25519', 'sign', expires],
  ]);
  return / KEY_CREATED \w ([0-9A-F]{40})/.exec(made)?.[1] ?? '';
}
const pgpPublic = (id: string) => run('gpg', ['--armor', '--export', id]);

const repository = join(root, 'repo');
run('git', ['init', '--quiet', '--initial-branch=main', repository]);
const git = (args: string[], more: Record<string, string> = {}, input?: string): string =>
  run('git', ['-C', repository, ...args], input, more);
let clock = Math.floor(Date.now() / 1000) - 3600;

type Signer = string | undefined;
/** A key file's path, an OpenPGP key's fingerprint, or nobody. */
const signedBy = (signer: Signer): string[] =>
  signer === undefined
    ? ['-c', 'commit.gpgsign=false']
    : [
        ...['-c', 'commit.gpgsign=true', '-c', `user.signingkey=${signer}`],
        ...['-c', `gpg.format=${signer.startsWith('/') ? 'ssh' : 'openpgp'}`],
      ];
const dated = (at: number) => ({ GIT_AUTHOR_DATE: `${at} +0100`, GIT_COMMITTER_DATE: `${at} +0100` });

function commit(signer: Signer, message = 'a change\n\nwith a body', at = clock++): string {
  git([...signedBy(signer), 'commit', '--quiet', '--allow-empty', '-m', message], dated(at));
  return git(['rev-parse', 'HEAD']);
}
/** `other` into the branch at hand. */
function merge(other: string, signer: Signer): string {
  git([...signedBy(signer), 'merge', '--quiet', '--no-ff', '-m', 'a merge', other], dated(clock++));
  return git(['rev-parse', 'HEAD']);
}
const onto = (start: string) => git(['checkout', '--quiet', '--detach', start]);
/** What `change` makes of a commit's bytes, as a commit. */
const forged = (from: string, change: (raw: string) => string): string =>
  git(['hash-object', '-t', 'commit', '-w', '--stdin'], {}, change(`${git(['cat-file', 'commit', from])}\n`));

const ada = sshKey('ada', 'ed25519');
const eve = sshKey('eve', 'ed25519');
const base = commit(undefined, 'from before anybody signed');
const file = join(root, 'keys');

const clone = await openClone({ stateDir: join(root, 'state'), repo: repository });
t.teardown(() => clone.close());
/** Both ways to read raw objects: the `git` program, and isomorphic-git alone. */
async function stores(): Promise<[string, ObjectStore][]> {
  git(['update-ref', 'refs/heads/main', 'HEAD']);
  await clone.transport.fetch('refs/heads/main', new AbortController().signal);
  return [
    ['git', clone.objects],
    ['isomorphic-git', openIsomorphicObjects(join(repository, '.git'))],
  ];
}

async function refusal(keys: string, good: string | undefined, head: string, now = Date.now()) {
  writeFileSync(file, keys);
  onto(head);
  const found: string[] = [];
  for (const [name, objects] of await stores()) {
    const trust = await openTrust(file, objects, { now: () => now, warn: () => {} });
    const refused = await trust.refused(good, head);
    found.push(refused === undefined ? 'trusted' : `${refused.commit} ${refused.why}`);
    if (name !== 'git' && found[0] !== found[1]) throw new Error(`git and isomorphic-git differ: ${found.join('\n')}`);
  }
  return found[0] ?? '';
}

t.test('commits of every sort of key are known by their signature', async (t) => {
  const keys = [
    ada,
    ...['256', '384', '521'].map((bits) => sshKey(`ec${bits}`, 'ecdsa', '-b', bits)),
    sshKey('rsa', 'rsa', '-b', '3072'),
  ];
  const pgp = [pgpKey('Grace <grace@example.test>')];
  const lines = [
    '# who may',
    ...keys.map((path) => `${path.slice(root.length + 1)}@example.test ${publicKey(path)}`),
    ...pgp.map(pgpPublic),
  ].join('\n');
  onto(base);
  for (const signer of [...keys, ...pgp]) {
    // Numbers of ECDSA signatures are shorter now and then.
    for (let each = 0; each < (signer.includes('/ec') ? 8 : 2); each++) commit(signer, `by ${signer} ü ${each}`);
  }
  const head = git(['rev-parse', 'HEAD']);
  t.equal(await refusal(lines, base, head), 'trusted');
  t.equal(await refusal(lines, undefined, head), 'trusted', 'the first that is seen');
  t.equal(
    await refusal(`${publicKey(ada)}\n${keys.slice(1).map(publicKey).join('\n')}\n${lines}`, base, head),
    'trusted',
  );
  t.match(
    await refusal(keys.map(publicKey).join('\n'), base, head),
    `${head} the key ${pgp[0]?.slice(-16)} that signed it is not trusted; sign it (git commit --amend`,
  );
  t.match(
    await refusal(
      `a ${publicKey(ada)}`,
      base,
      `${head}~4`.replace(/.*/, () => git(['rev-parse', `${head}~4`])),
    ),
    /the key SHA256:\S+ that signed it is not trusted; sign it/,
  );
});

t.test('what is not signed as it must be is refused, and what was seen is said', async (t) => {
  const trusted = `ada ${publicKey(ada)}`;
  onto(base);
  const good = commit(ada);
  const unsigned = commit(undefined);
  t.match(
    await refusal(trusted, good, unsigned),
    `${unsigned} it is not signed; sign it (git commit --amend --no-edit -S)`,
  );
  t.match(await refusal(trusted, undefined, base), 'it is not signed');
  onto(good);
  const strange = commit(eve);
  t.match(await refusal(trusted, good, strange), `the key ${fingerprint(eve)} that signed it is not trusted`);

  const later = `${commit(ada)}`;
  t.match(
    await refusal(trusted, good, later),
    `${strange} the key`,
    'a signed commit does not vouch for what it follows',
  );
  t.match(await refusal(trusted, good, later), 'git rebase --exec');

  const of = (change: (raw: string) => string) => refusal(trusted, good, forged(signed, change));
  onto(good);
  const signed = commit(ada);
  const by = `by ${fingerprint(ada)} (ada) does not match what it holds`;
  t.match(await of((raw) => raw.replace('a change', 'a chance')), by, 'its message');
  t.match(
    await of((raw) =>
      raw.replace(
        /tree .{40}/,
        `tree ${git(['mktree'], {}, `100644 blob ${git(['hash-object', '-w', '--stdin'], {}, 'x')}\tx`)}`,
      ),
    ),
    by,
    'its tree',
  );
  t.match(await of((raw) => raw.replace(/parent .{40}/, `parent ${base}`)), by, 'its parent');
  const signature = /gpgsig [\s\S]*?-----END SSH SIGNATURE-----\n/.exec(git(['cat-file', 'commit', signed]))?.[0] ?? '';
  t.match(await of((raw) => raw.replace(signature, signature + signature)), by, 'signed twice');
  t.match(await of((raw) => raw.replace(/^ [A-Za-z0-9+/]{40}/m, ' ****')), 'cannot be read', 'spoilt');

  const resigned = (namespace: string, hash = 'sha512') => {
    const raw = `${git(['cat-file', 'commit', signed])}\n`.replace(signature, '');
    const made = run('ssh-keygen', ['-q', '-Y', 'sign', '-n', namespace, '-O', `hashalg=${hash}`, '-f', ada], raw);
    return forged(signed, (whole) => whole.replace(signature, `gpgsig ${made.replaceAll('\n', '\n ')}\n`));
  };
  t.equal(await refusal(trusted, good, resigned('git', 'sha256')), 'trusted');
  t.match(await refusal(trusted, good, resigned('file')), 'is for "file", not for git');
});

t.test(
  'merges: every commit that becomes reachable must be signed, and what was there before need not be',
  async (t) => {
    const trusted = `ada ${publicKey(ada)}`;
    onto(base);
    const old = commit(undefined, 'old and unsigned');
    const good = commit(ada);
    onto(old);
    const side = commit(ada, 'on a side branch');
    onto(good);
    const both = merge(side, ada);
    t.equal(await refusal(trusted, good, both), 'trusted');
    onto(good);
    t.match(await refusal(trusted, good, merge(side, undefined)), 'it is not signed', 'the merge itself');

    onto(old);
    const hidden = commit(undefined, 'unsigned on a side branch');
    commit(ada);
    const sideTip = git(['rev-parse', 'HEAD']);
    onto(good);
    t.match(await refusal(trusted, good, merge(sideTip, ada)), `${hidden} it is not signed`);

    const early = commit(undefined, 'a clock that was wrong', clock + 100_000);
    const since = commit(ada);
    onto(early);
    const beside = commit(ada);
    onto(since);
    t.equal(await refusal(trusted, since, merge(beside, ada)), 'trusted', 'old commits that look new');

    onto(good);
    writeFileSync(join(repository, 'a.yaml'), 'a: 1\n');
    git(['add', '.']);
    const asked = commit(ada);
    for (const [signer, outcome] of [
      [ada, 'trusted'],
      [undefined, /it is not signed/],
    ] as const) {
      onto(asked);
      git([...signedBy(signer), 'revert', '--no-edit', 'HEAD'], dated(clock++));
      t.match(await refusal(trusted, good, git(['rev-parse', 'HEAD'])), outcome, 'a revert is a commit as any other');
    }
  },
);

t.test('keys that are not valid then, not valid now, or for something else', async (t) => {
  const day = (offset: number) => new Date(Date.now() + offset * 86_400_000).toISOString().replace(/[-:T]|\.\d+/g, '');
  onto(base);
  const head = commit(ada);
  const line = (options: string) => refusal(`ada ${options} ${publicKey(ada)}`, base, head);
  t.equal(await line(`valid-after="${day(-1)}",valid-before="${day(1)}"`), 'trusted');
  t.equal(await line('namespaces="file,g*"'), 'trusted');
  t.match(await line(`valid-before="${day(-1)}"`), 'which was valid only before');
  t.match(await line(`valid-after="${day(1)}"`), 'which is valid only after');
  t.match(await line('namespaces="file"'), 'is trusted for file only');
  t.equal(
    await refusal(`ada valid-before="${day(-1)}" ${publicKey(ada)}\nada ${publicKey(ada)}`, base, head),
    'trusted',
    'a line that holds is enough',
  );
  const twoDaysAgo = Math.floor(Date.now() / 1000) - 2 * 86_400;
  onto(base);
  const dated = commit(ada, 'dated back', twoDaysAgo);
  t.match(
    await refusal(`ada valid-before="${day(-1)}" ${publicKey(ada)}`, base, dated),
    'which was valid only before',
    'a commit names its time itself',
  );

  const short = pgpKey('Short <short@example.test>', 'seconds=40');
  onto(base);
  const at = Date.now();
  const byShort = commit(short);
  const exported = pgpPublic(short);
  t.equal(await refusal(exported, base, byShort, at), 'trusted');
  t.match(
    await refusal(exported, base, byShort, Date.now() + 60_000),
    /\(Short <.*>\), which cannot be used: .*expired/,
  );

  const gone = pgpKey('Gone <gone@example.test>');
  onto(base);
  const byGone = commit(gone);
  t.equal(await refusal(pgpPublic(gone), base, byGone), 'trusted');
  const certificate = readFileSync(join(gnupg, 'openpgp-revocs.d', `${gone}.rev`), 'utf8').replace(
    ':-----BEGIN',
    '-----BEGIN',
  );
  run('gpg', ['--batch', '--import'], certificate);
  t.match(await refusal(pgpPublic(gone), base, byGone), /which cannot be used: .*revoked/);
  t.match(
    await refusal(
      pgpPublic(gone).concat('\n', exported),
      base,
      forged(byGone, (raw) => raw.replace('a change', 'x')),
    ),
    'which cannot be used',
  );
  const grace = pgpKey('Heidi <heidi@example.test>');
  onto(base);
  const byGrace = commit(grace);
  t.match(
    await refusal(
      pgpPublic(grace),
      base,
      forged(byGrace, (raw) => raw.replace('a change', 'x')),
    ),
    /its signature by \w+ \(Heidi <.*>\) does not hold/,
  );
});

t.test('a file of keys tells all that is wrong with it, and what of it does not count', async (t) => {
  const wrong = `ada ssh-ed25519 AAAA\nnobody\neve valid-before="soon" ${publicKey(eve)}\nx ssh-rsa ${publicKey(ada).split(' ')[1]}\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxxx\n-----END PGP PUBLIC KEY BLOCK-----\n`;
  await t.rejects(parseKeys(wrong, 'keys'), {
    message:
      /keys:5: .*OpenPGP[\s\S]*keys:1: the key cannot be read[\s\S]*keys:2: expected[\s\S]*keys:3: "soon" is no time[\s\S]*keys:4: the key is of type ssh-ed25519, not ssh-rsa/,
  });
  await t.rejects(parseKeys('# none\n', 'keys'), { message: /keys: it holds no key/ });
  const { ssh, ignored } = await parseKeys(
    `\r\n"Ada L" namespaces="git" ${publicKey(ada)}\nca cert-authority ${publicKey(eve)}\nhw sk-ssh-ed25519@openssh.com AAAA\n`,
    'keys',
  );
  t.match(ssh, [{ name: 'Ada L', fingerprint: fingerprint(ada), namespaces: ['git'] }]);
  t.match(ignored, [/keys:3: a cert-authority/, /keys:4: keys of type sk-ssh/]);
});
