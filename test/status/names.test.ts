import t from 'tap';
import {
  keepRef,
  resourceOfStatusPath,
  revertBranch,
  revisionOfKeepRef,
  rolloutOfTagRef,
  statusPath,
  tagName,
  tagRef,
} from '../../src/status/names.ts';

t.test('names of refs and files have their kind in lower case', async (t) => {
  t.equal(statusPath('Service/shop'), 'status/service/shop.yaml');
  t.equal(statusPath('Cluster/prod'), 'status/cluster/prod.yaml');
  t.equal(tagName('Workload/tomcat', 12), 'sluice/workload/tomcat/12');
  t.equal(tagRef('Workload/tomcat', 12), 'refs/tags/sluice/workload/tomcat/12');
  t.equal(keepRef('Service/shop', 'ab12cd34ef'), 'refs/sluice/keep/service/shop/ab12cd34ef');
  t.equal(revertBranch('Service/shop', 7), 'sluice/revert/service-shop-7');
});

t.test('and lead back to what they name', async (t) => {
  t.equal(resourceOfStatusPath('status/service/shop.yaml'), 'Service/shop');
  t.equal(resourceOfStatusPath('status/fleet/web.yaml'), 'Fleet/web');
  t.equal(resourceOfStatusPath('status/cluster/prod.yaml'), 'Cluster/prod');
  t.strictSame(rolloutOfTagRef('refs/tags/sluice/workload/tomcat/12'), { resource: 'Workload/tomcat', rollout: 12 });
  t.strictSame(revisionOfKeepRef('refs/sluice/keep/service/shop/ab12cd34ef'), {
    resource: 'Service/shop',
    revision: 'ab12cd34ef',
  });
});

t.test('what Sluice did not name leads nowhere', async (t) => {
  const paths = [
    'status/Service/shop.yaml',
    'status/service/Shop.yaml',
    'status/service/../x.yaml',
    'status/service/-a.yaml',
  ];
  paths.push(
    'status/constructor/shop.yaml',
    'status/target/x.yaml',
    'status/service/shop.yml',
    'x/status/service/shop.yaml',
  );
  paths.push(`status/service/${'a'.repeat(64)}.yaml`, 'status/service/shop.yaml\n', 'status/service/a/b.yaml');
  for (const path of paths) t.equal(resourceOfStatusPath(path), undefined, path);
  const tags = [
    'refs/tags/sluice/service/shop/0',
    'refs/tags/sluice/service/shop/01',
    'refs/tags/sluice/service/shop/x',
  ];
  tags.push('refs/tags/sluice/service/shop', 'refs/tags/v1', `refs/tags/sluice/service/shop/${'9'.repeat(16)}`);
  for (const tag of tags) t.equal(rolloutOfTagRef(tag), undefined, tag);
  for (const ref of [
    'refs/sluice/keep/service/shop/abc',
    'refs/sluice/keep/service/shop/AB12CD34EF',
    'refs/heads/main',
  ]) {
    t.equal(revisionOfKeepRef(ref), undefined, ref);
  }
});
