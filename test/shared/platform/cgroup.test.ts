// Where the cgroup of a process is, by the files of proc(5).
import { expect, it } from 'vitest';
import { ownCgroup } from '../../../shared/platform/cgroup.ts';

const UNIFIED = '30 22 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n';
const HYBRID =
  '31 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n40 30 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n';

it('is found on hosts with cgroup v2, on hybrid hosts, and in containers', () => {
  const service = '0::/system.slice/queue-agent.service\n';
  expect(ownCgroup(UNIFIED, service)).toBe('/sys/fs/cgroup/system.slice/queue-agent.service');
  expect(ownCgroup(HYBRID, `1:cpu:/x\n${service}`)).toBe('/sys/fs/cgroup/unified/system.slice/queue-agent.service');
  expect(ownCgroup('1 2 0:1 /docker/abc /sys/fs/cgroup rw - cgroup2 c rw\n', '0::/docker/abc/sub\n')).toBe(
    '/sys/fs/cgroup/sub',
  );
  expect(ownCgroup(String.raw`1 2 0:1 / /mnt/c\040g rw - cgroup2 c rw`, '0::/a\n')).toBe('/mnt/c g/a');
});

it('is not there with cgroup v1 alone, or where it is mounted outside of the view', () => {
  expect(ownCgroup('31 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n', '1:cpu:/\n')).toBeUndefined();
  expect(ownCgroup('1 2 0:1 /docker/abc /sys/fs/cgroup rw - cgroup2 c rw\n', '0::/other\n')).toBeUndefined();
  expect(ownCgroup('', '')).toBeUndefined();
});
